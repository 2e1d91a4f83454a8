// The CUDA side of the loss. Same meaning as in kernels/ops.h; arguments are already checked, but for the
// labels.
#pragma once

#include "kernels/ops.h"

namespace athanor::kernels::cuda {

/// How many fp32 logits exist at a time: 512 MiB of them, long enough blocks of tokens that passing over the
/// fp32 weight gradient once per block does not count. Results depend on it in the order of sums over tokens.
constexpr int64_t kMaxLogits = int64_t{1} << 27;

/// lse may be undefined.
void linear_cross_entropy(const at::Tensor& loss_T, const at::Tensor& lse_T, const at::Tensor& x_TD,
                          const at::Tensor& w_VD, const at::Tensor& labels_T, const VocabularyPart& part = {},
                          int64_t max_logits = kMaxLogits);

struct LossGradientArgs {
  const at::Tensor &loss_T, &dx_TD, &dw_VD;  ///< dw may be undefined
  const at::Tensor &x_TD, &w_VD, &labels_T, &token_weight_T;
  bool accumulate_dw;
  const VocabularyPart& part;
};
void linear_cross_entropy_with_gradient(const LossGradientArgs& args, int64_t max_logits = kMaxLogits);

}  // namespace athanor::kernels::cuda
