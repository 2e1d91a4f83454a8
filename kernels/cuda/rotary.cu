// Rotary embedding in place: a warp owns one head of one token and holds all its pairs before it writes.
#include "kernels/cuda/device_code.cuh"
#include "kernels/cuda/entries.h"

namespace athanor::kernels::cuda {
namespace {

constexpr int kWarps = kThreads / kWarpSize;

/// Where the two halves of pair i lie.
struct PairPlaces {
  int64_t first, second;
};
__device__ PairPlaces places(int64_t pair, int64_t num_pairs, bool side_by_side) {
  return side_by_side ? PairPlaces{2 * pair, 2 * pair + 1} : PairPlaces{pair, pair + num_pairs};
}

template <typename T, int kPairsPerLane>
__global__ void rotate(AthanorCudaRotary p) {
  const int64_t head_of_token = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarpSize;
  if (head_of_token >= p.num_tokens * p.num_heads) return;
  const int64_t token = head_of_token / p.num_heads, head = head_of_token % p.num_heads;
  const int lane = threadIdx.x % kWarpSize;
  T* x = static_cast<T*>(p.x) + token * p.token_stride + head * p.head_stride;
  float first[kPairsPerLane], second[kPairsPerLane];
#pragma unroll
  for (int k = 0; k < kPairsPerLane; ++k) {
    const int64_t pair = lane + k * kWarpSize;
    if (pair >= p.num_pairs) continue;
    const PairPlaces from = places(pair, p.num_pairs, p.interleaved && !p.inverse);
    const float a = to_f32(x[from.first]), b = to_f32(x[from.second]);
    const float c = p.cos[token * p.num_pairs + pair], s = p.sin[token * p.num_pairs + pair];
    const float signed_s = p.inverse ? -s : s;
    // Not fused: the bits of the CPU.
    first[k] = __fsub_rn(__fmul_rn(a, c), __fmul_rn(b, signed_s));
    second[k] = __fadd_rn(__fmul_rn(b, c), __fmul_rn(a, signed_s));
  }
  __syncwarp();
#pragma unroll
  for (int k = 0; k < kPairsPerLane; ++k) {
    const int64_t pair = lane + k * kWarpSize;
    if (pair >= p.num_pairs) continue;
    const PairPlaces to = places(pair, p.num_pairs, p.interleaved && p.inverse);
    x[to.first] = from_f32<T>(first[k]);
    x[to.second] = from_f32<T>(second[k]);
  }
}

template <typename T>
int launch_rotate(const AthanorCudaRotary* p, void* stream) {
  const int64_t blocks = ceil_div(p->num_tokens * p->num_heads, kWarps);
  if (p->num_pairs <= kWarpSize) return launch(rotate<T, 1>, blocks, *p, stream);
  if (p->num_pairs <= 2 * kWarpSize) return launch(rotate<T, 2>, blocks, *p, stream);
  if (p->num_pairs <= 16 * kWarpSize) return launch(rotate<T, 16>, blocks, *p, stream);
  return cudaErrorInvalidValue;
}

}  // namespace

int rotary(const AthanorCudaRotary* p, void* stream) {
  return p->is_bf16 ? launch_rotate<Bf16>(p, stream) : launch_rotate<float>(p, stream);
}

}  // namespace athanor::kernels::cuda
