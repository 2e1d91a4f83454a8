// The vector code of the loss: log-sum-exp of a row of logits in parts, and the gradient by the logits.
// Single-threaded, best instruction set of this processor; a row's bits depend on the row alone.
#pragma once

#include <cstdint>

#include "kernels/cpu/bf16.h"

namespace athanor::kernels::cpu {

/// The sum of exponentials of the logits seen so far, relative to the largest of them, in 16 lanes.
struct RunningLogSumExp {
  float largest = -__builtin_inff();
  float lane_sums[16] = {};
};

struct LogSumExpTable {
  /// Takes in the next `count` logits of the row; results depend on where a row is cut.
  void (*update)(RunningLogSumExp& running, const float* logits, int64_t count);
  /// The sum of exp(logit - largest).
  float (*sum)(const RunningLogSumExp& running);
};

/// What is known of a row once all its logits were seen. Its log-sum-exp would carry a rounding error that
/// grows with the logits; the two parts of it do not.
struct SoftmaxGradient {
  int64_t label;  ///< column of the label; negative: not among these logits
  float largest, sum, weight;
};

/// T: float or Bf16.
template <typename T>
struct LossGradientTable {
  /// dlogits[v] = (exp(logits[v] - largest) / sum - (v == label)) * weight. May be done in place.
  void (*softmax_gradient)(T* dlogits, const float* logits, int64_t count, const SoftmaxGradient& at);
};

/// The tables of this processor.
const LogSumExpTable& log_sum_exp_table();
template <typename T>
const LossGradientTable<T>& loss_gradient_table();

namespace avx512 {
extern const LogSumExpTable kLogSumExp;
extern const LossGradientTable<float> kLossGradientF32;
extern const LossGradientTable<Bf16> kLossGradientBf16;
}  // namespace avx512
namespace avx2 {
extern const LogSumExpTable kLogSumExp;
extern const LossGradientTable<float> kLossGradientF32;
extern const LossGradientTable<Bf16> kLossGradientBf16;
}  // namespace avx2
namespace portable {
extern const LogSumExpTable kLogSumExp;
extern const LossGradientTable<float> kLossGradientF32;
extern const LossGradientTable<Bf16> kLossGradientBf16;
}  // namespace portable

}  // namespace athanor::kernels::cpu
