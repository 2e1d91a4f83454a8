#include "kernels/reference/linear_cross_entropy.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/matmul.h>

namespace athanor::kernels::reference {

at::Tensor linear_logsumexp(const at::Tensor& x_TD, const at::Tensor& w_VD) {
  return at::logsumexp(at::matmul(x_TD.to(at::kDouble), w_VD.to(at::kDouble).t()), 1);
}

at::Tensor linear_cross_entropy(const at::Tensor& x_TD, const at::Tensor& w_VD, const at::Tensor& labels_T) {
  const at::Tensor logits = at::matmul(x_TD.to(at::kDouble), w_VD.to(at::kDouble).t());
  const at::Tensor is_kept = labels_T != kIgnoredLabel;
  const at::Tensor safe_labels = labels_T.clamp_min(0);
  const at::Tensor loss =
      at::logsumexp(logits, 1) - at::gather(logits, 1, safe_labels.unsqueeze(1)).squeeze(1);
  return loss * is_kept.to(at::kDouble);
}

}  // namespace athanor::kernels::reference
