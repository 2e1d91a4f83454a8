// Quantising and reading block-scaled FP8. A warp takes a stretch of 128 neighbours in one row; with token
// tiles a block takes 128 rows of 128 columns. The bits of kernels/cpu/fp8_tiles.cpp.
#include "kernels/cuda/device_code.cuh"
#include "kernels/cuda/entries.h"
#include "kernels/cuda/fp8_places.h"

namespace athanor::kernels::cuda {
namespace {

constexpr int kWarps = kThreads / kWarpSize;
constexpr int kPerLane = static_cast<int>(kTile) / kWarpSize;

/// Calls f(k, i) for every access of kWidth elements that this lane makes to a stretch: its first element k,
/// and its place i among the lane's values.
template <int kWidth, typename F>
__device__ inline void for_lane(int count, F f) {
  const int lane = threadIdx.x % kWarpSize;
#pragma unroll
  for (int i = 0; i < kPerLane; i += kWidth) {
    const int k = (i / kWidth * kWarpSize + lane) * kWidth;
    if (k < count) f(k, i);
  }
}

/// What a lane holds of a stretch; zero beyond its end.
template <int kWidth>
struct LaneValues {
  float values[kPerLane] = {};

  template <typename T>
  __device__ LaneValues(const T* x, int count) {
    for_lane<kWidth>(count, [&](int k, int i) {
      float some[kWidth];
      load(some, x + k);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) values[i + j] = some[j];
    });
  }
  __device__ uint32_t largest() const {
    uint32_t magnitude = 0;
#pragma unroll
    for (const float value : values) magnitude = max(magnitude, magnitude_bits(value));
    return magnitude;
  }
};

__device__ inline uint32_t warp_max(uint32_t x) {
  for (int distance = kWarpSize / 2; distance > 0; distance /= 2)
    x = max(x, __shfl_xor_sync(kFullWarp, x, distance));
  return x;
}

__device__ inline int64_t warp_index() {
  return static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarpSize;
}

// ---- writing
// ---------------------------------------------------------------------------------------------------

/// Writes what is wanted of a lane's values; scale_of(k) and factor_of(k) belong to element k of the stretch.
template <int kWidth, typename Scale, typename Factor>
__device__ inline void write_lane(const AthanorCudaFp8Write& p, int64_t at, int count,
                                  const LaneValues<kWidth>& lane, Scale scale_of, Factor factor_of) {
  for_lane<kWidth>(count, [&](int k, int i) {
    Vector<uint8_t, kWidth> codes;
    Vector<uint16_t, kWidth> exact;
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      codes.values[j] = encoded(lane.values[i + j], factor_of(k + j));
      const float scale = p.is_power_of_two ? scale_of(k + j) : 1.0f;
      exact.values[j] = rounded_to_bf16(decoded(codes.values[j], scale)).bits;
    }
    if (p.codes) *reinterpret_cast<Vector<uint8_t, kWidth>*>(p.codes + at + k) = codes;
    if (p.exact) *reinterpret_cast<Vector<uint16_t, kWidth>*>(p.exact + at + k) = exact;
  });
}

__device__ inline int64_t place_in_output(const AthanorCudaFp8Place& place, const Fp8Stretch& stretch) {
  return stretch.row * place.num_columns + stretch.column - place.begin;
}
/// Where x is strided, everything is there; where it is a slice, it lies as the output does.
template <typename T>
__device__ inline const T* source_of(const AthanorCudaFp8Write& p, const Fp8Stretch& stretch) {
  return static_cast<const T*>(p.x) + stretch.row * p.x_stride + stretch.column - p.place.begin;
}

template <typename T, int kWidth>
__global__ void quantise_row_tiles(AthanorCudaFp8Write p) {
  const int64_t index = warp_index();
  if (index >= num_stretches(p.place)) return;
  const Fp8Stretch stretch = stretch_at(p.place, index);
  const LaneValues<kWidth> lane(source_of<T>(p, stretch), stretch.count);
  const float scale = scale_of_tile(of_bits(warp_max(lane.largest())), p.floor, p.is_power_of_two);
  const float factor = inverse_scale(scale);
  if (threadIdx.x % kWarpSize == 0) p.scales[stretch.scale] = scale;
  write_lane(
      p, place_in_output(p.place, stretch), stretch.count, lane, [=](int) { return scale; },
      [=](int) { return factor; });
}

/// A block of threads: 128 columns of one token tile. Warps take its rows in turn, and twice.
template <typename T, int kWidth>
__global__ void quantise_token_tiles(AthanorCudaFp8Write p) {
  __shared__ uint32_t largest[kWarps][kTile];
  __shared__ float scales[kTile], factors[kTile];
  const int64_t tiles_across = tiles_of(p.place.num_columns);
  const int64_t index = whole_quotient(blockIdx.x, tiles_across);
  const int64_t column = (blockIdx.x - index * tiles_across) * kTile;
  const int count = static_cast<int>(smaller(kTile, p.place.num_columns - column));
  const TokenTile tile = token_tile(p.place.token_tiles, index);
  const int warp = threadIdx.x / kWarpSize;
  const T* x = static_cast<const T*>(p.x) + tile.row_begin * p.x_stride + column;

  uint32_t seen[kPerLane] = {};
  for (int64_t row = warp; row < tile.num_rows; row += kWarps) {
    const LaneValues<kWidth> lane(x + row * p.x_stride, count);
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) seen[i] = max(seen[i], magnitude_bits(lane.values[i]));
  }
  for_lane<kWidth>(count, [&](int k, int i) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) largest[warp][k + j] = seen[i + j];
  });
  __syncthreads();
  for (int k = threadIdx.x; k < count; k += kThreads) {
    uint32_t magnitude = 0;
    for (int w = 0; w < kWarps; ++w) magnitude = max(magnitude, largest[w][k]);
    scales[k] = scale_of_tile(of_bits(magnitude), p.floor, p.is_power_of_two);
    factors[k] = inverse_scale(scales[k]);
    p.scales[index * p.place.num_columns + column + k] = scales[k];
  }
  __syncthreads();
  for (int64_t row = warp; row < tile.num_rows; row += kWarps) {
    const LaneValues<kWidth> lane(x + row * p.x_stride, count);
    write_lane(
        p, (tile.row_begin + row) * p.place.num_columns + column, count, lane,
        [&](int k) { return scales[k]; }, [&](int k) { return factors[k]; });
  }
}

template <typename T, int kWidth>
__global__ void write_stretches(AthanorCudaFp8Write p) {
  const int64_t index = warp_index();
  if (index >= num_stretches(p.place)) return;
  const Fp8Stretch stretch = stretch_at(p.place, index);
  const auto scale_of = [&](int k) { return p.scales[stretch.scale + k * stretch.scale_step]; };
  write_lane(p, place_in_output(p.place, stretch), stretch.count,
             LaneValues<kWidth>(source_of<T>(p, stretch), stretch.count), scale_of,
             [&](int k) { return p.x_is_scaled ? 1.0f : inverse_scale(scale_of(k)); });
}

// ---- magnitudes and scales
// --------------------------------------------------------------------------------------

// The largest of whole numbers does not depend on the order.
template <typename T, int kWidth>
__global__ void raise_magnitudes(AthanorCudaFp8Magnitudes p) {
  const int64_t index = warp_index();
  if (index >= num_stretches(p.place)) return;
  const Fp8Stretch stretch = stretch_at(p.place, index);
  const T* x = static_cast<const T*>(p.x) + place_in_output(p.place, stretch);
  const uint32_t magnitude = warp_max(LaneValues<kWidth>(x, stretch.count).largest());
  if (threadIdx.x % kWarpSize == 0 && stretch.count > 0)
    atomicMax(reinterpret_cast<unsigned*>(p.magnitudes + stretch.scale), magnitude);
}

__global__ void scales_of_tiles(AthanorCudaFp8Scales p) {
  for (int64_t i = first_element(); i < p.num_scales; i += element_stride())
    p.scales[i] = scale_of_tile(p.magnitudes[i], p.floor, p.is_power_of_two);
}

// ---- reading
// ---------------------------------------------------------------------------------------------------

__device__ inline void store_rounded(float* to, float x) {
  *to = x;
}
__device__ inline void store_rounded(uint16_t* to, float x) {
  *to = rounded_to_bf16(x).bits;
}

template <typename T, int kWidth>
__global__ void decode_stretches(AthanorCudaFp8Decode p) {
  const int64_t index = warp_index();
  if (index >= num_stretches(p.place)) return;
  const Fp8Stretch stretch = stretch_at(p.place, index);
  const int64_t at = place_in_output(p.place, stretch);
  for_lane<kWidth>(stretch.count, [&](int k, int) {
    const auto codes = *reinterpret_cast<const Vector<uint8_t, kWidth>*>(p.codes + at + k);
    Vector<T, kWidth> out;
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      const float scale = p.scales ? p.scales[stretch.scale + (k + j) * stretch.scale_step] : 1.0f;
      store_rounded(&out.values[j], decoded(codes.values[j], scale));
    }
    *reinterpret_cast<Vector<T, kWidth>*>(static_cast<T*>(p.out) + at + k) = out;
  });
}

// ---- launches
// --------------------------------------------------------------------------------------------------

/// Whether four elements at a time can be touched: counts are multiples of four, pointers of 16 bytes.
bool is_wide(const AthanorCudaFp8Place& place, std::initializer_list<const void*> pointers) {
  bool wide = place.num_columns % kPerLane == 0 && place.begin % kPerLane == 0 && place.end % kPerLane == 0;
  for (const void* pointer : pointers) wide = wide && reinterpret_cast<uintptr_t>(pointer) % 16 == 0;
  return wide;
}

/// Calls f(Access) for the element type and the width.
template <typename F>
int with_lanes(bool is_bf16, bool is_wide, F f) {
  if (is_bf16) return is_wide ? f(Access<Bf16, kPerLane>{}) : f(Access<Bf16, 1>{});
  return is_wide ? f(Access<float, kPerLane>{}) : f(Access<float, 1>{});
}

int64_t blocks_of_warps(const AthanorCudaFp8Place& place) {
  return ceil_div(num_stretches(place), kWarps);
}

bool is_wide(const AthanorCudaFp8Write& p) {
  return p.x_stride % kPerLane == 0 && is_wide(p.place, {p.x, p.codes, p.exact});
}

}  // namespace

int fp8_quantise(const AthanorCudaFp8Write* p, void* stream) {
  if (p->place.tiles == ATHANOR_CUDA_FP8_BLOCK) return cudaErrorInvalidValue;
  return with_lanes(p->x_is_bf16, is_wide(*p), [&](auto access) {
    using A = decltype(access);
    if (p->place.tiles == ATHANOR_CUDA_FP8_ROW)
      return launch(quantise_row_tiles<typename A::T, A::kWidth>, blocks_of_warps(p->place), *p, stream);
    return launch(quantise_token_tiles<typename A::T, A::kWidth>,
                  p->place.num_token_tiles * tiles_of(p->place.num_columns), *p, stream);
  });
}

int fp8_write(const AthanorCudaFp8Write* p, void* stream) {
  return with_lanes(p->x_is_bf16, is_wide(*p), [&](auto access) {
    using A = decltype(access);
    return launch(write_stretches<typename A::T, A::kWidth>, blocks_of_warps(p->place), *p, stream);
  });
}

int fp8_raise_magnitudes(const AthanorCudaFp8Magnitudes* p, void* stream) {
  return with_lanes(p->x_is_bf16, is_wide(p->place, {p->x}), [&](auto access) {
    using A = decltype(access);
    return launch(raise_magnitudes<typename A::T, A::kWidth>, blocks_of_warps(p->place), *p, stream);
  });
}

int fp8_scales(const AthanorCudaFp8Scales* p, void* stream) {
  return launch(scales_of_tiles, blocks_for(p->num_scales), *p, stream);
}

int fp8_decode(const AthanorCudaFp8Decode* p, void* stream) {
  const bool wide = is_wide(p->place, {p->out, p->codes});
  const int64_t blocks = blocks_of_warps(p->place);
  if (p->out_is_bf16)
    return wide ? launch(decode_stretches<uint16_t, kPerLane>, blocks, *p, stream)
                : launch(decode_stretches<uint16_t, 1>, blocks, *p, stream);
  return wide ? launch(decode_stretches<float, kPerLane>, blocks, *p, stream)
              : launch(decode_stretches<float, 1>, blocks, *p, stream);
}

}  // namespace athanor::kernels::cuda
