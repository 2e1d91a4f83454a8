// The CUDA kernels behind kernels/cuda/table.h: raw pointers in, launches out, never a host synchronisation.
// As on the CPU, the bits of a row depend on that row alone: a block owns a row, reductions have one fixed
// order, and sums over tokens run in ascending order.
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "kernels/cuda/table.h"

namespace {

constexpr int kThreads = 256;
constexpr int kWarpSize = 32;

__device__ float to_f32(float x) {
  return x;
}
__device__ float to_f32(__nv_bfloat16 x) {
  return __bfloat162float(x);
}
template <typename T>
static __device__ T from_f32(float x);
template <>
__device__ float from_f32<float>(float x) {
  return x;
}
template <>
__device__ __nv_bfloat16 from_f32<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}
/// Rounds to T and back.
template <typename T>
__device__ float rounded(float x) {
  return to_f32(from_f32<T>(x));
}

/// The sum over a block in one fixed tree; every thread gets it.
__device__ float block_sum(float x) {
  __shared__ float warp_sums[kThreads / kWarpSize];
  for (int distance = kWarpSize / 2; distance > 0; distance /= 2)
    x += __shfl_xor_sync(0xffffffffu, x, distance);
  if (threadIdx.x % kWarpSize == 0) warp_sums[threadIdx.x / kWarpSize] = x;
  __syncthreads();
  float total = 0;
  for (float sum : warp_sums) total += sum;
  __syncthreads();
  return total;
}

// ---- RMSNorm
// -------------------------------------------------------------------------------------------------

template <typename T>
__global__ void rms_norm_kernel(AthanorCudaRmsNorm p) {
  const int64_t row = blockIdx.x;
  const T* x = static_cast<const T*>(p.x) + row * p.x_stride;
  const T* w = static_cast<const T*>(p.w);
  T* y = static_cast<T*>(p.y) + row * p.num_columns;
  float squares = 0;
  for (int64_t i = threadIdx.x; i < p.num_columns; i += kThreads) {
    const float value = to_f32(x[i]);
    squares = fmaf(value, value, squares);
  }
  const float mean = block_sum(squares) / static_cast<float>(p.num_columns);
  const float rstd = 1.0f / sqrtf(mean + p.eps);
  if (threadIdx.x == 0) p.rstd[row] = rstd;
  for (int64_t i = threadIdx.x; i < p.num_columns; i += kThreads)
    y[i] = from_f32<T>(to_f32(w[i]) * rounded<T>(to_f32(x[i]) * rstd));
}

template <typename T>
__global__ void rms_norm_input_gradient_kernel(AthanorCudaRmsNormBackward p) {
  const int64_t row = blockIdx.x;
  const T* x = static_cast<const T*>(p.x) + row * p.x_stride;
  const T* w = static_cast<const T*>(p.w);
  const T* dy = static_cast<const T*>(p.dy) + row * p.num_columns;
  T* dx = static_cast<T*>(p.dx) + row * p.num_columns;
  float dot = 0;
  for (int64_t i = threadIdx.x; i < p.num_columns; i += kThreads)
    dot = fmaf(to_f32(dy[i]) * to_f32(w[i]), to_f32(x[i]), dot);
  const float rstd = p.rstd[row];
  const float shared = block_sum(dot) * rstd * rstd / static_cast<float>(p.num_columns);
  for (int64_t i = threadIdx.x; i < p.num_columns; i += kThreads)
    dx[i] = from_f32<T>(rstd * (to_f32(dy[i]) * to_f32(w[i]) - to_f32(x[i]) * shared));
}

/// A thread owns a column and walks the tokens in order; neighbours read neighbouring columns.
template <typename T>
__global__ void rms_norm_weight_gradient_kernel(AthanorCudaRmsNormBackward p) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (column >= p.num_columns) return;
  const T* x = static_cast<const T*>(p.x) + column;
  const T* dy = static_cast<const T*>(p.dy) + column;
  float sum = p.accumulate_dw ? p.dw[column] : 0.0f;
  for (int64_t t = 0; t < p.num_rows; ++t)
    sum = fmaf(to_f32(dy[t * p.num_columns]), rounded<T>(to_f32(x[t * p.x_stride]) * p.rstd[t]), sum);
  p.dw[column] = sum;
}

// ---- SwiGLU
// --------------------------------------------------------------------------------------------------

/// A block owns a row. dgate_up has rows of 2 * num_columns, as gate_up.
template <typename T>
__global__ void swiglu_kernel(AthanorCudaSwiglu p) {
  const int64_t row = blockIdx.x;
  const T* gate = static_cast<const T*>(p.gate_up) + 2 * row * p.num_columns;
  T* h = static_cast<T*>(p.out) + row * p.num_columns;
  for (int64_t i = threadIdx.x; i < p.num_columns; i += kThreads) {
    const float g = to_f32(gate[i]);
    h[i] = from_f32<T>(g / (1.0f + expf(-g)) * to_f32(gate[p.num_columns + i]));
  }
}

template <typename T>
__global__ void swiglu_backward_kernel(AthanorCudaSwiglu p) {
  const int64_t row = blockIdx.x;
  const T* gate = static_cast<const T*>(p.gate_up) + 2 * row * p.num_columns;
  const T* dh = static_cast<const T*>(p.dh) + row * p.num_columns;
  T* dgate = static_cast<T*>(p.out) + 2 * row * p.num_columns;
  for (int64_t i = threadIdx.x; i < p.num_columns; i += kThreads) {
    const float g = to_f32(gate[i]), d = to_f32(dh[i]), up = to_f32(gate[p.num_columns + i]);
    const float s = 1.0f / (1.0f + expf(-g));
    dgate[i] = from_f32<T>(d * up * (s * fmaf(g, 1.0f - s, 1.0f)));
    dgate[p.num_columns + i] = from_f32<T>(d * (g * s));
  }
}

// ---- flat buffers
// --------------------------------------------------------------------------------------------

__device__ int64_t first_element() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ int64_t element_stride() {
  return static_cast<int64_t>(gridDim.x) * blockDim.x;
}

// Written with the _rn intrinsics, which the compiler does not fuse: the order is torch.optim's.
template <typename M>
__global__ void adamw_kernel(AthanorCudaAdamW p) {
  M *exp_avg = static_cast<M*>(p.exp_avg), *exp_avg_sq = static_cast<M*>(p.exp_avg_sq);
  __nv_bfloat16* compute = static_cast<__nv_bfloat16*>(p.compute);
  for (int64_t i = first_element(); i < p.num_elements; i += element_stride()) {
    const float g = __fmul_rn(p.gradient[i], p.gradient_scale);
    float m = to_f32(exp_avg[i]), v = to_f32(exp_avg_sq[i]);
    m = fmaf(p.one_minus_beta1, __fsub_rn(g, m), m);
    v = __fadd_rn(__fmul_rn(v, p.beta2), __fmul_rn(__fmul_rn(p.one_minus_beta2, g), g));
    const float denominator = __fadd_rn(__fdiv_rn(__fsqrt_rn(v), p.sqrt_correction2), p.eps);
    const float kept = __fmul_rn(p.master[i], p.keep);
    const float master = __fadd_rn(kept, __fdiv_rn(__fmul_rn(p.minus_step_size, m), denominator));
    p.master[i] = master;
    exp_avg[i] = from_f32<M>(m);
    exp_avg_sq[i] = from_f32<M>(v);
    if (compute) compute[i] = from_f32<__nv_bfloat16>(master);
  }
}

/// One element of the tree over parts; `finished` holds a sum of 2^k parts for each bit k of the count so
/// far.
template <typename Part>
__device__ float tree_sum(const AthanorCudaOrderedSum& p, int64_t i) {
  float finished[10];
  static_assert(ATHANOR_CUDA_MAX_PARTS < (1 << 10), "one level per bit of the count");
  int height = 0;
  for (int64_t part = 0; part < p.num_parts; ++part) {
    float sum = to_f32(static_cast<const Part*>(p.parts[part])[i]);
    for (int64_t bits = part; bits & 1; bits >>= 1) sum = finished[--height] + sum;
    finished[height++] = sum;
  }
  float total = finished[--height];
  while (height > 0) total = finished[--height] + total;
  return total;
}

template <typename Out, typename Part>
__global__ void ordered_sum_kernel(const __grid_constant__ AthanorCudaOrderedSum p) {
  for (int64_t i = first_element(); i < p.num_elements; i += element_stride())
    static_cast<Out*>(p.out)[i] = from_f32<Out>(tree_sum<Part>(p, i));
}

// ---- launches
// ------------------------------------------------------------------------------------------------

unsigned blocks_for(int64_t num_elements) {
  constexpr int64_t kMaxBlocks = 65535;
  const int64_t blocks = (num_elements + kThreads - 1) / kThreads;
  return static_cast<unsigned>(blocks < kMaxBlocks ? blocks : kMaxBlocks);
}

cudaStream_t as_stream(void* stream) {
  return static_cast<cudaStream_t>(stream);
}

/// Launches one of two instances of a kernel; an empty grid is no launch.
template <typename Kernel, typename Arguments>
int launch(bool is_bf16, Kernel bf16_kernel, Kernel f32_kernel, unsigned blocks, const Arguments& arguments,
           void* stream) {
  if (blocks == 0) return cudaSuccess;
  const Kernel kernel = is_bf16 ? bf16_kernel : f32_kernel;
  kernel<<<blocks, kThreads, 0, as_stream(stream)>>>(arguments);
  return cudaGetLastError();
}

int rms_norm(const AthanorCudaRmsNorm* p, void* stream) {
  return launch(p->is_bf16, rms_norm_kernel<__nv_bfloat16>, rms_norm_kernel<float>,
                static_cast<unsigned>(p->num_rows), *p, stream);
}

int rms_norm_backward(const AthanorCudaRmsNormBackward* p, void* stream) {
  // The weight first: dx may be dy.
  if (p->dw) {
    const int error = launch(p->is_bf16, rms_norm_weight_gradient_kernel<__nv_bfloat16>,
                             rms_norm_weight_gradient_kernel<float>, blocks_for(p->num_columns), *p, stream);
    if (error != cudaSuccess) return error;
  }
  return launch(p->is_bf16, rms_norm_input_gradient_kernel<__nv_bfloat16>,
                rms_norm_input_gradient_kernel<float>, static_cast<unsigned>(p->num_rows), *p, stream);
}

int swiglu(const AthanorCudaSwiglu* p, void* stream) {
  return launch(p->is_bf16, swiglu_kernel<__nv_bfloat16>, swiglu_kernel<float>,
                static_cast<unsigned>(p->num_rows), *p, stream);
}

int swiglu_backward(const AthanorCudaSwiglu* p, void* stream) {
  return launch(p->is_bf16, swiglu_backward_kernel<__nv_bfloat16>, swiglu_backward_kernel<float>,
                static_cast<unsigned>(p->num_rows), *p, stream);
}

int adamw(const AthanorCudaAdamW* p, void* stream) {
  return launch(p->moments_are_bf16, adamw_kernel<__nv_bfloat16>, adamw_kernel<float>,
                blocks_for(p->num_elements), *p, stream);
}

int ordered_sum(const AthanorCudaOrderedSum* p, void* stream) {
  const unsigned blocks = blocks_for(p->num_elements);
  if (p->num_parts < 1 || p->num_parts > ATHANOR_CUDA_MAX_PARTS) return cudaErrorInvalidValue;
  if (p->out_is_bf16)
    return launch(p->parts_are_bf16, ordered_sum_kernel<__nv_bfloat16, __nv_bfloat16>,
                  ordered_sum_kernel<__nv_bfloat16, float>, blocks, *p, stream);
  return launch(p->parts_are_bf16, ordered_sum_kernel<float, __nv_bfloat16>, ordered_sum_kernel<float, float>,
                blocks, *p, stream);
}

const char* error_text(int error) {
  return cudaGetErrorString(static_cast<cudaError_t>(error));
}

constexpr AthanorCudaTable kTable{ATHANOR_CUDA_TABLE_VERSION,
                                  rms_norm,
                                  rms_norm_backward,
                                  swiglu,
                                  swiglu_backward,
                                  adamw,
                                  ordered_sum,
                                  error_text};

}  // namespace

extern "C" __attribute__((visibility("default"))) const AthanorCudaTable* athanor_cuda_table(void) {
  return &kTable;
}
