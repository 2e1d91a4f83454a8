#include "kernels/cpu/loss_rows.h"

#include "kernels/cpu/processor.h"

namespace athanor::kernels::cpu {

const LogSumExpTable& log_sum_exp_table() {
  return table_for_processor(portable::kLogSumExp, avx2::kLogSumExp, avx512::kLogSumExp);
}
template <>
const LossGradientTable<float>& loss_gradient_table() {
  return table_for_processor(portable::kLossGradientF32, avx2::kLossGradientF32, avx512::kLossGradientF32);
}
template <>
const LossGradientTable<Bf16>& loss_gradient_table() {
  return table_for_processor(portable::kLossGradientBf16, avx2::kLossGradientBf16, avx512::kLossGradientBf16);
}

}  // namespace athanor::kernels::cpu
