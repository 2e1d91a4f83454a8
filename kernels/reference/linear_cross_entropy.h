// The loss of the projection to the vocabulary in fp64 with all logits at once: the oracle of the tests.
// Differentiable.
#pragma once

#include "kernels/ops.h"

namespace athanor::kernels::reference {

/// loss [T] fp64, 0 where ignored; as `linear_cross_entropy` in kernels/ops.h.
at::Tensor linear_cross_entropy(const at::Tensor& x_TD, const at::Tensor& w_VD, const at::Tensor& labels_T);
/// [T] fp64.
at::Tensor linear_logsumexp(const at::Tensor& x_TD, const at::Tensor& w_VD);

}  // namespace athanor::kernels::reference
