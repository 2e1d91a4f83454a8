// The CPU side of the loss. Same meaning as in kernels/ops.h; arguments are already checked, no token is
// ignored.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/ops.h"

namespace athanor::kernels::cpu {

void linear_cross_entropy(const at::Tensor& loss_T, const at::Tensor& lse_T, const at::Tensor& x_TD,
                          const at::Tensor& w_VD, const at::Tensor& labels_T, const VocabularyPart& part);

struct LossGradientArgs {
  const at::Tensor &loss_T, &dx_TD, &dw_VD;  ///< dw may be undefined
  const at::Tensor &x_TD, &w_VD, &labels_T, &token_weight_T;
  bool accumulate_dw;
  const VocabularyPart& part;
};
void linear_cross_entropy_with_gradient(const LossGradientArgs& args);

}  // namespace athanor::kernels::cpu
