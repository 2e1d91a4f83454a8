// Loss, log-sum-exp and gradient of rows of logits: a block owns a row. The largest logit and the sum of
// exponentials come from one pass; the logits then become their gradient in a second. Between the two, ranks
// that share the vocabulary may combine what they have seen.
#include <math_constants.h>

#include "kernels/cuda/device_code.cuh"
#include "kernels/cuda/entries.h"

namespace athanor::kernels::cuda {
namespace {

constexpr int kRowThreads = 512;
constexpr int kRowWarps = kRowThreads / kWarpSize;

/// The sum of exponentials of some logits, relative to the largest of them.
struct LogSumExp {
  float largest, sum;
};

// Nothing seen: exp(-inf - -inf) is never formed.
__device__ float scale_between(float from, float to) {
  return from == to ? 1.0f : expf(from - to);
}
__device__ LogSumExp join(LogSumExp a, LogSumExp b) {
  const float largest = fmaxf(a.largest, b.largest);
  return {largest, a.sum * scale_between(a.largest, largest) + b.sum * scale_between(b.largest, largest)};
}

__device__ LogSumExp join_warp(LogSumExp x) {
  for (int distance = kWarpSize / 2; distance > 0; distance /= 2)
    x = join(x,
             {__shfl_xor_sync(kFullWarp, x.largest, distance), __shfl_xor_sync(kFullWarp, x.sum, distance)});
  return x;
}

/// Joined over the block in one fixed tree; every thread gets it.
__device__ LogSumExp join_block(LogSumExp x) {
  __shared__ LogSumExp warps[kRowWarps];
  const int lane = threadIdx.x % kWarpSize;
  x = join_warp(x);
  if (lane == 0) warps[threadIdx.x / kWarpSize] = x;
  __syncthreads();
  return join_warp(lane < kRowWarps ? warps[lane] : LogSumExp{-CUDART_INF_F, 0.0f});
}

template <int kWidth>
__device__ LogSumExp scan(const float* logits, int64_t vocabulary) {
  LogSumExp seen{-CUDART_INF_F, 0.0f};
  for (int64_t v = threadIdx.x * kWidth; v < vocabulary; v += kRowThreads * kWidth) {
    float values[kWidth];
    load(values, logits + v);
    float largest = seen.largest;
#pragma unroll
    for (int k = 0; k < kWidth; ++k) largest = fmaxf(largest, values[k]);
    float sum = seen.sum * scale_between(seen.largest, largest);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) sum += scale_between(values[k], largest);
    seen = {largest, sum};
  }
  return seen;
}

template <typename T, int kWidth>
__device__ void write_gradient(T* gradient, const float* logits, int64_t vocabulary, int64_t label,
                               LogSumExp all, float weight) {
  const float factor = weight / all.sum;
  for (int64_t v = threadIdx.x * kWidth; v < vocabulary; v += kRowThreads * kWidth) {
    float values[kWidth];
    load(values, logits + v);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      values[k] = expf(values[k] - all.largest) * factor;
      if (v + k == label) values[k] -= weight;
    }
    store(gradient + v, values);
  }
}

template <typename T, int kWidth>
__device__ void fill(T* gradient, int64_t vocabulary, float value) {
  float values[kWidth];
#pragma unroll
  for (int k = 0; k < kWidth; ++k) values[k] = value;
  for (int64_t v = threadIdx.x * kWidth; v < vocabulary; v += kRowThreads * kWidth)
    store(gradient + v, values);
}

/// What is known of a row once all its logits were seen.
struct State {
  float largest, sum, logit_of_label;
};

template <int kWidth>
__global__ void states(AthanorCudaLossStates p) {
  const int64_t row = blockIdx.x, column = p.labels[row] - p.first_label;
  const float* logits = p.logits + row * p.num_columns;
  const LogSumExp all = join_block(scan<kWidth>(logits, p.num_columns));
  if (threadIdx.x != 0) return;
  const bool is_here = column >= 0 && column < p.num_columns;
  reinterpret_cast<State*>(p.states)[row] = {all.largest, all.sum, is_here ? logits[column] : -CUDART_INF_F};
}

template <typename T, int kWidth>
__global__ void rows(AthanorCudaLossRows p) {
  const int64_t row = blockIdx.x, label = p.labels[row];
  const float* logits = p.logits + row * p.num_columns;
  const bool is_ignored = label == p.ignored_label;
  const bool is_bad = !is_ignored && (label < 0 || label >= p.vocabulary);
  const State state = reinterpret_cast<const State*>(p.states)[row];
  if (threadIdx.x == 0) {
    if (p.lse) p.lse[row] = state.largest + logf(state.sum);
    // The difference first: with large logits, the logarithm would drown in `largest`.
    if (is_ignored || is_bad)
      p.loss[row] = is_bad ? CUDART_NAN_F : 0.0f;
    else
      p.loss[row] = (state.largest - state.logit_of_label) + logf(state.sum);
  }
  if (!p.dlogits) return;
  T* gradient = static_cast<T*>(p.dlogits) + row * p.num_columns;
  const float weight = p.token_weight[row];
  if (is_ignored || is_bad || weight == 0.0f)
    fill<T, kWidth>(gradient, p.num_columns, is_bad ? CUDART_NAN_F : 0.0f);
  else
    write_gradient<T, kWidth>(gradient, logits, p.num_columns, label - p.first_label,
                              {state.largest, state.sum}, weight);
}

Grid grid_of(int64_t num_rows) {
  return {dim3(static_cast<unsigned>(num_rows)), kRowThreads};
}

}  // namespace

int loss_states(const AthanorCudaLossStates* p, void* stream) {
  const bool is_wide = alignment(false).pointer(p->logits).count(p->num_columns).is_wide;
  return is_wide ? launch(states<4>, grid_of(p->num_rows), *p, stream)
                 : launch(states<1>, grid_of(p->num_rows), *p, stream);
}

int loss_rows(const AthanorCudaLossRows* p, void* stream) {
  // The logits are fp32 whatever the gradient is: four at a time.
  const bool is_wide = alignment(false).pointer(p->logits).pointer(p->dlogits).count(p->num_columns).is_wide;
  const Grid grid = grid_of(p->num_rows);
  if (p->dlogits_are_bf16)
    return is_wide ? launch(rows<Bf16, 4>, grid, *p, stream) : launch(rows<Bf16, 1>, grid, *p, stream);
  return is_wide ? launch(rows<float, 4>, grid, *p, stream) : launch(rows<float, 1>, grid, *p, stream);
}

}  // namespace athanor::kernels::cuda
