// Choosing experts: a warp owns a token. The rules, the order of every sum and so (but for the last bit of an
// exponential) the choice are those of kernels/cpu/route.cpp: ties go to the lower id, NaN ranks as minus
// infinity.
#include <math_constants.h>

#include "kernels/cuda/device_code.cuh"
#include "kernels/cuda/entries.h"

namespace athanor::kernels::cuda {
namespace {

constexpr int kWarps = 4;
constexpr float kSigmoidNormEpsilon = 1e-20f;  // as in kernels/cpu/route.cpp
constexpr int kNone = 0x7fffffff;

extern __shared__ char shared_memory[];

// Through fp64, so that the result is the correctly rounded one, as the C library's nearly always is.
__device__ float exponential(float x) {
  return static_cast<float>(exp(static_cast<double>(x)));
}

struct Best {
  float value;
  int position;
};
__device__ bool is_better(Best a, Best b) {
  return a.value > b.value || (a.value == b.value && a.position < b.position);
}

/// The best of values[0..count) that is not taken; every lane gets it.
__device__ Best find_best(const float* values, const bool* is_taken, int count, int lane) {
  Best best{-CUDART_INF_F, kNone};
  for (int i = lane; i < count; i += kWarpSize) {
    const float value = isnan(values[i]) ? -CUDART_INF_F : values[i];
    if (!is_taken[i] && is_better({value, i}, best)) best = {value, i};
  }
  for (int distance = kWarpSize / 2; distance > 0; distance /= 2) {
    const Best other{__shfl_xor_sync(kFullWarp, best.value, distance),
                     __shfl_xor_sync(kFullWarp, best.position, distance)};
    if (is_better(other, best)) best = other;
  }
  return best;
}

/// Marks the `num_wanted` best as taken.
__device__ void take_best(bool* is_taken, const float* values, int count, int num_wanted, int lane) {
  for (int i = lane; i < count; i += kWarpSize) is_taken[i] = false;
  __syncwarp();
  for (int i = 0; i < num_wanted; ++i) {
    const Best best = find_best(values, is_taken, count, lane);
    __syncwarp();
    if (lane == 0) is_taken[best.position] = true;
    __syncwarp();
  }
}

/// A group ranks by the sum of its best two choices (of its one choice when it has one expert). NaN ranks
/// last, but makes the sum NaN when it is among the two.
__device__ float group_score(const float* choice, int group_size) {
  Best first{-CUDART_INF_F, kNone}, second{-CUDART_INF_F, kNone};
  for (int i = 0; i < group_size; ++i) {
    const Best candidate{isnan(choice[i]) ? -CUDART_INF_F : choice[i], i};
    if (is_better(candidate, first)) {
      second = first;
      first = candidate;
    } else if (is_better(candidate, second)) {
      second = candidate;
    }
  }
  return group_size == 1 ? choice[first.position] : choice[first.position] + choice[second.position];
}

/// What a warp keeps of its token.
struct Scratch {
  float *choice, *groups;
  bool *is_chosen, *is_kept;

  __device__ Scratch(const AthanorCudaRoute& p, int warp) {
    const int64_t experts = p.num_experts, num_groups = p.n_group;
    float* floats = reinterpret_cast<float*>(shared_memory);
    choice = floats + warp * (experts + num_groups);
    groups = choice + experts;
    bool* flags = reinterpret_cast<bool*>(floats + kWarps * (experts + num_groups));
    is_chosen = flags + warp * (experts + num_groups);
    is_kept = is_chosen + experts;
  }
};
size_t scratch_bytes(const AthanorCudaRoute* p) {
  return static_cast<size_t>(kWarps * (p->num_experts + p->n_group)) * (sizeof(float) + sizeof(bool));
}

/// Scores of a token; `values` is scratch of the warp.
__device__ void score(const AthanorCudaRoute& p, float* scores, const float* logits, float* values,
                      int lane) {
  const int count = static_cast<int>(p.num_experts);
  if (p.is_sigmoid) {
    for (int e = lane; e < count; e += kWarpSize) scores[e] = 1.0f / (1.0f + exponential(-logits[e]));
    return;
  }
  float largest = -CUDART_INF_F;
  for (int e = lane; e < count; e += kWarpSize) largest = fmaxf(largest, logits[e]);
  for (int distance = kWarpSize / 2; distance > 0; distance /= 2)
    largest = fmaxf(largest, __shfl_xor_sync(kFullWarp, largest, distance));
  for (int e = lane; e < count; e += kWarpSize) values[e] = exponential(logits[e] - largest);
  __syncwarp();
  float sum = 0;  // in ascending order, by every lane
  for (int e = 0; e < count; ++e) sum += values[e];
  for (int e = lane; e < count; e += kWarpSize) scores[e] = values[e] / sum;
  __syncwarp();
}

__device__ void mask_groups(const AthanorCudaRoute& p, const Scratch& scratch, int lane) {
  const int group_size = static_cast<int>(p.num_experts / p.n_group);
  for (int g = lane; g < p.n_group; g += kWarpSize)
    scratch.groups[g] = group_score(scratch.choice + g * group_size, group_size);
  __syncwarp();
  take_best(scratch.is_kept, scratch.groups, static_cast<int>(p.n_group), static_cast<int>(p.topk_group),
            lane);
  for (int e = lane; e < p.num_experts; e += kWarpSize)
    if (!scratch.is_kept[e / group_size]) scratch.choice[e] = -CUDART_INF_F;
  __syncwarp();
}

/// The chosen experts in ascending order.
__device__ void list_chosen(int32_t* ids, const bool* is_chosen, int num_experts, int lane) {
  int num_found = 0;
  for (int first = 0; first < num_experts; first += kWarpSize) {
    const int e = first + lane;
    const unsigned chosen = __ballot_sync(kFullWarp, e < num_experts && is_chosen[e]);
    const int rank = __popc(chosen & ((1u << lane) - 1));
    if (chosen >> lane & 1) ids[num_found + rank] = e;
    num_found += __popc(chosen);
  }
}

__global__ void choose(AthanorCudaRoute p) {
  const int warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
  const int64_t token = int64_t{blockIdx.x} * kWarps + warp;
  if (token >= p.num_tokens) return;
  const Scratch scratch(p, warp);
  float* scores = p.scores + token * p.num_experts;
  int32_t* ids = p.expert_ids + token * p.num_chosen;
  float* weights = p.weights + token * p.num_chosen;
  score(p, scores, p.logits + token * p.num_experts, scratch.choice, lane);
  // Each lane reads back what it wrote itself.
  for (int e = lane; e < p.num_experts; e += kWarpSize)
    scratch.choice[e] = scores[e] + (p.bias ? p.bias[e] : 0.0f);
  __syncwarp();
  if (p.n_group > 1) mask_groups(p, scratch, lane);
  take_best(scratch.is_chosen, scratch.choice, static_cast<int>(p.num_experts),
            static_cast<int>(p.num_chosen), lane);
  list_chosen(ids, scratch.is_chosen, static_cast<int>(p.num_experts), lane);
  __syncwarp();
  float sum = 0;
  for (int a = 0; a < p.num_chosen; ++a) sum += scores[ids[a]];
  const float divisor = p.norm_topk_prob ? (p.is_sigmoid ? __fadd_rn(sum, kSigmoidNormEpsilon) : sum) : 1.0f;
  for (int a = lane; a < p.num_chosen; a += kWarpSize)
    weights[a] = __fmul_rn(__fdiv_rn(scores[ids[a]], divisor), p.routed_scaling_factor);
}

/// The gradient by one score: what arrived there, and what comes through the weight when it was chosen.
__device__ double score_gradient(const AthanorCudaRouteBackward& p, int64_t token, int e, double shared,
                                 double divisor) {
  double gradient = p.dscores ? p.dscores[token * p.num_experts + e] : 0.0;
  for (int64_t a = token * p.num_chosen; a < (token + 1) * p.num_chosen; ++a)
    if (p.expert_ids[a] == e) gradient += p.routed_scaling_factor * (p.dweights[a] - shared) / divisor;
  return gradient;
}

__global__ void choose_backward(AthanorCudaRouteBackward p) {
  const int lane = threadIdx.x % kWarpSize;
  const int64_t token = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarpSize;
  if (token >= p.num_tokens) return;
  const float* scores = p.scores + token * p.num_experts;
  double sum = 0.0, weighted = 0.0;
  for (int64_t a = token * p.num_chosen; a < (token + 1) * p.num_chosen; ++a) {
    const double chosen = scores[p.expert_ids[a]];
    sum += chosen;
    weighted += p.dweights[a] * chosen;
  }
  const double epsilon = p.is_sigmoid ? kSigmoidNormEpsilon : 0.0f;
  const double divisor = p.norm_topk_prob ? sum + epsilon : 1.0;
  const double shared = p.norm_topk_prob ? weighted / divisor : 0.0;
  double dot = 0.0;
  if (!p.is_sigmoid) {
    for (int e = lane; e < p.num_experts; e += kWarpSize)
      dot += score_gradient(p, token, e, shared, divisor) * scores[e];
    dot = warp_sum(dot);
  }
  for (int e = lane; e < p.num_experts; e += kWarpSize) {
    const double gradient = score_gradient(p, token, e, shared, divisor), s = scores[e];
    p.dlogits[token * p.num_experts + e] =
        static_cast<float>(p.is_sigmoid ? gradient * s * (1.0 - s) : s * (gradient - dot));
  }
}

}  // namespace

int route(const AthanorCudaRoute* p, void* stream) {
  return launch(choose,
                Grid{dim3(static_cast<unsigned>(ceil_div(p->num_tokens, kWarps))), kWarps * kWarpSize,
                     scratch_bytes(p)},
                *p, stream);
}

int route_backward(const AthanorCudaRouteBackward* p, void* stream) {
  return launch(choose_backward,
                Grid{dim3(static_cast<unsigned>(ceil_div(p->num_tokens, kWarps))), kWarps * kWarpSize}, *p,
                stream);
}

}  // namespace athanor::kernels::cuda
