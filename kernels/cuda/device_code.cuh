// What the .cu files share: conversions, wide accesses, reductions in one fixed order, launches that are
// checked.
#pragma once

#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_runtime.h>

namespace athanor::kernels::cuda {

using Bf16 = __nv_bfloat16;

constexpr int kThreads = 256;
constexpr int kWarpSize = 32;
constexpr unsigned kFullWarp = 0xffffffffu;

// ---- values
// --------------------------------------------------------------------------------------------------

__device__ inline float to_f32(float x) {
  return x;
}
__device__ inline float to_f32(Bf16 x) {
  return __bfloat162float(x);
}
template <typename T>
__device__ inline T from_f32(float x);
template <>
__device__ inline float from_f32<float>(float x) {
  return x;
}
template <>
__device__ inline Bf16 from_f32<Bf16>(float x) {
  return __float2bfloat16_rn(x);
}
/// Rounds to T and back.
template <typename T>
__device__ inline float rounded(float x) {
  return to_f32(from_f32<T>(x));
}

/// How a kernel touches memory: kWidth elements of Element at a time.
template <typename Element, int kElements>
struct Access {
  using T = Element;
  static constexpr int kWidth = kElements;
};

template <typename T, int kWidth>
struct alignas(sizeof(T) * kWidth) Vector {
  T values[kWidth];
};

/// kWidth neighbours as fp32. `from` is a multiple of the vector's size.
template <int kWidth, typename T>
__device__ inline void load(float (&out)[kWidth], const T* from) {
  const Vector<T, kWidth> vector = *reinterpret_cast<const Vector<T, kWidth>*>(from);
#pragma unroll
  for (int i = 0; i < kWidth; ++i) out[i] = to_f32(vector.values[i]);
}
template <int kWidth, typename T>
__device__ inline void store(T* to, const float (&values)[kWidth]) {
  Vector<T, kWidth> vector;
#pragma unroll
  for (int i = 0; i < kWidth; ++i) vector.values[i] = from_f32<T>(values[i]);
  *reinterpret_cast<Vector<T, kWidth>*>(to) = vector;
}

// ---- reductions
// ----------------------------------------------------------------------------------------------

template <typename T>
__device__ inline T warp_sum(T x) {
  for (int distance = kWarpSize / 2; distance > 0; distance /= 2)
    x += __shfl_xor_sync(kFullWarp, x, distance);
  return x;
}

/// The sum over a block of kThreads in one fixed tree; every thread gets it.
__device__ inline float block_sum(float x) {
  __shared__ float warp_sums[kThreads / kWarpSize];
  x = warp_sum(x);
  if (threadIdx.x % kWarpSize == 0) warp_sums[threadIdx.x / kWarpSize] = x;
  __syncthreads();
  float total = 0;
  for (float sum : warp_sums) total += sum;
  __syncthreads();
  return total;
}

// ---- positions
// -----------------------------------------------------------------------------------------------

__device__ inline int64_t first_element() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline int64_t element_stride() {
  return static_cast<int64_t>(gridDim.x) * blockDim.x;
}

// ---- launches (host)
// -----------------------------------------------------------------------------------------

/// The y extent of a grid is limited to this; kernels that walk rows in y take strides of gridDim.y.
constexpr int64_t kMaxGridY = 65535;

inline int64_t ceil_div(int64_t count, int64_t size) {
  return (count + size - 1) / size;
}
inline unsigned blocks_for(int64_t num_elements) {
  const int64_t blocks = ceil_div(num_elements, kThreads);
  return static_cast<unsigned>(blocks < kMaxGridY ? blocks : kMaxGridY);
}

/// A launch configuration; an empty grid is no launch.
struct Grid {
  dim3 blocks;
  unsigned threads = kThreads;
  size_t shared_bytes = 0;
};

template <typename Kernel, typename Arguments>
int launch(Kernel kernel, const Grid& grid, const Arguments& arguments, void* stream) {
  if (grid.blocks.x == 0 || grid.blocks.y == 0) return cudaSuccess;
#ifdef __CUDACC__
  kernel<<<grid.blocks, grid.threads, grid.shared_bytes, static_cast<cudaStream_t>(stream)>>>(arguments);
#else  // a test that runs kernels on the host gives this
  launch_on_host(kernel, grid.blocks, grid.threads, arguments);
#endif
  return cudaGetLastError();
}
template <typename Kernel, typename Arguments>
int launch(Kernel kernel, int64_t num_blocks, const Arguments& arguments, void* stream) {
  return launch(kernel, Grid{dim3(static_cast<unsigned>(num_blocks))}, arguments, stream);
}

/// True when 16-byte accesses are possible: every pointer lies at a multiple of 16 bytes, every count (of
/// columns, of a stride) is a multiple of the elements in 16 bytes.
struct Alignment {
  int element_size;
  bool is_wide = true;

  Alignment& pointer(const void* pointer) {
    is_wide = is_wide && reinterpret_cast<uintptr_t>(pointer) % 16 == 0;
    return *this;
  }
  Alignment& count(int64_t elements) {
    is_wide = is_wide && elements % (16 / element_size) == 0;
    return *this;
  }
};
inline Alignment alignment(bool is_bf16) {
  return {is_bf16 ? 2 : 4};
}

/// Calls f(Access) for the element type and the width.
template <typename F>
int with_access(bool is_bf16, bool is_wide, F f) {
  if (is_bf16) return is_wide ? f(Access<Bf16, 8>{}) : f(Access<Bf16, 1>{});
  return is_wide ? f(Access<float, 4>{}) : f(Access<float, 1>{});
}

}  // namespace athanor::kernels::cuda
