// Log-sum-exp and gradient of rows of logits, compiled once per instruction set. Lane i takes the logits i, i
// + 16, ...
#include "kernels/cpu/loss_rows.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/simd_math.h"

namespace athanor::kernels::cpu::ATHANOR_ISA {
namespace {

/// The last few logits of a row; the missing lanes are minus infinity and add nothing.
F32x16 load_last(const float* logits, int64_t count) {
  float lanes[kLanes];
  for (int64_t i = 0; i < kLanes; ++i) lanes[i] = i < count ? logits[i] : -__builtin_inff();
  return load(lanes);
}

float largest_of(const float* logits, int64_t count) {
  F32x16 largest = set1(-__builtin_inff());
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) largest = max(largest, load(logits + i));
  if (i < count) largest = max(largest, load_last(logits + i, count - i));
  return max_lanes(largest);
}

void run_update(RunningLogSumExp& running, const float* logits, int64_t count) {
  const float largest = largest_of(logits, count);
  F32x16 sums = load(running.lane_sums);
  if (!(largest <= running.largest)) {
    sums = mul(sums, exp_flushed(set1(running.largest - largest)));
    running.largest = largest;
  }
  const F32x16 reference = set1(running.largest);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) sums = add(sums, exp_flushed(sub(load(logits + i), reference)));
  if (i < count) sums = add(sums, exp_flushed(sub(load_last(logits + i, count - i), reference)));
  store(running.lane_sums, sums);
}

float run_sum(const RunningLogSumExp& running) {
  return sum_lanes(load(running.lane_sums));
}

template <typename T>
void run_softmax_gradient(T* dlogits, const float* logits, int64_t count, const SoftmaxGradient& at) {
  const F32x16 reference = set1(at.largest), factor = set1(at.weight / at.sum);
  const auto gradient = [&](F32x16 values) { return mul(exp_flushed(sub(values, reference)), factor); };
  const bool has_label = at.label >= 0;
  // Taken first: dlogits may be the same memory as logits.
  const F32x16 at_label = sub(gradient(set1(logits[has_label ? at.label : 0])), set1(at.weight));
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(dlogits + i, gradient(load(logits + i)));
  if (i < count) store_first(dlogits + i, gradient(load_first(logits + i, count - i)), count - i);
  if (has_label) store_first(dlogits + at.label, at_label, 1);
}

}  // namespace

extern const LogSumExpTable kLogSumExp;
const LogSumExpTable kLogSumExp{run_update, run_sum};
extern const LossGradientTable<float> kLossGradientF32;
const LossGradientTable<float> kLossGradientF32{run_softmax_gradient<float>};
extern const LossGradientTable<Bf16> kLossGradientBf16;
const LossGradientTable<Bf16> kLossGradientBf16{run_softmax_gradient<Bf16>};

}  // namespace athanor::kernels::cpu::ATHANOR_ISA
