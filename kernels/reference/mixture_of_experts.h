// Plain routing and combining in fp64, token by token: the oracle of the tests. Weights and sums are
// differentiable.
#pragma once

#include "kernels/ops.h"

namespace athanor::kernels::reference {

struct RouteResult {
  at::Tensor expert_ids_TA;  ///< int64, ascending per token
  at::Tensor weights_TA, scores_TE;
};
/// As `route` in kernels/ops.h, for logits and bias (or undefined) of any floating dtype.
RouteResult route(const at::Tensor& logits_TE, const at::Tensor& bias_E, const RouterOptions& options);

/// y[t] = sum over a of weights[t, a] * expert_rows[t, a], where expert_rows_TAD holds each choice's row in
/// place.
at::Tensor combine(const at::Tensor& expert_rows_TAD, const at::Tensor& weights_TA);

}  // namespace athanor::kernels::reference
