// The CUDA side of routing, permuting and combining. Same meaning as in kernels/ops.h; arguments are already
// checked.
#pragma once

#include "kernels/ops.h"

namespace athanor::kernels::cuda {

void route(const at::Tensor& expert_ids_TA, const at::Tensor& weights_TA, const at::Tensor& scores_TE,
           const at::Tensor& logits_TE, const at::Tensor& bias_E, const RouterOptions& options);
void route_backward(const at::Tensor& dlogits_TE, const at::Tensor& dweights_TA, const at::Tensor& dscores_TE,
                    const at::Tensor& expert_ids_TA, const at::Tensor& scores_TE,
                    const RouterOptions& options);

/// Waits for the device: the host needs the offsets.
Permutation permutation_by_expert(const at::Tensor& expert_ids_TA, int64_t num_experts);
void permute(const at::Tensor& x_PD, const at::Tensor& x_TD, const Permutation& permutation);
/// weights undefined: every weight is one (the backward of permute).
void combine(const at::Tensor& y_TD, const at::Tensor& y_PD, const at::Tensor& weights_TA,
             const Permutation& permutation);
void combine_backward(const at::Tensor& dy_PD, const at::Tensor& dweights_TA, const at::Tensor& dy_TD,
                      const at::Tensor& y_PD, const at::Tensor& weights_TA, const Permutation& permutation);

}  // namespace athanor::kernels::cuda
