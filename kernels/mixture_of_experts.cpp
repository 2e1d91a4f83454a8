// The checks in front of routing, permuting and combining.
#include "kernels/cpu/mixture_of_experts.h"

#include <limits>

#include "core/error.h"
#include "kernels/checks.h"
#include "kernels/cuda/mixture_of_experts.h"
#include "kernels/ops.h"

namespace athanor::kernels {
namespace {

void check_router_options(const Checker& check, const RouterOptions& options, int64_t num_experts) {
  const int64_t num_chosen = options.num_experts_per_tok, n_group = options.n_group;
  ATHANOR_CHECK(num_chosen >= 1 && num_chosen <= num_experts, "{}: {} experts per token out of {}",
                check.operation(), num_chosen, num_experts);
  ATHANOR_CHECK(n_group >= 1 && num_experts % n_group == 0, "{}: {} experts do not split into {} groups",
                check.operation(), num_experts, n_group);
  ATHANOR_CHECK(options.topk_group >= 1 && options.topk_group <= n_group,
                "{}: topk_group {} out of {} groups", check.operation(), options.topk_group, n_group);
  ATHANOR_CHECK(options.topk_group * (num_experts / n_group) >= num_chosen,
                "{}: {} groups of {} experts hold fewer than {} experts per token", check.operation(),
                options.topk_group, num_experts / n_group, num_chosen);
}

// A permutation is made by permutation_by_expert, but travels through a model; its rows are used as
// addresses.
void check_permutation(const Checker& check, const Permutation& permutation, int64_t num_tokens,
                       int64_t num_rows) {
  check.dim("row_of_slot", permutation.row_of_slot, 1);
  const int64_t num_slots = permutation.row_of_slot.size(0);
  check.tensor("row_of_slot", permutation.row_of_slot, at::kInt, {num_slots});
  check.tensor("token_of_row", permutation.token_of_row, at::kInt, {num_rows});
  ATHANOR_CHECK(num_tokens == 0 ? num_slots == 0 : num_slots % num_tokens == 0,
                "{}: the permutation has {} slots, expected a multiple of {} tokens", check.operation(),
                num_slots, num_tokens);
}

// Permuted rows beside their tokens: both of one compute dtype and width. True on a CUDA device.
bool check_rows_and_tokens(const Checker& check, const at::Tensor& rows_PD, const at::Tensor& tokens_TD,
                           const Permutation& permutation) {
  const bool on_cuda =
      check.on_cuda({&rows_PD, &tokens_TD, &permutation.row_of_slot, &permutation.token_of_row});
  check.dim("the rows", rows_PD, 2);
  check.dim("the tokens", tokens_TD, 2);
  check.compute_dtype("the tokens", tokens_TD);
  check.contiguous("the tokens", tokens_TD);
  check_permutation(check, permutation, tokens_TD.size(0), rows_PD.size(0));
  check.tensor("the rows", rows_PD, tokens_TD.scalar_type(), {rows_PD.size(0), tokens_TD.size(1)});
  return on_cuda;
}

void check_weights(const Checker& check, const at::Tensor& weights_TA, int64_t num_tokens,
                   const Permutation& permutation) {
  check.dim("weights", weights_TA, 2);
  check.tensor("weights", weights_TA, at::kFloat, {num_tokens, weights_TA.size(1)});
  ATHANOR_CHECK(weights_TA.numel() == permutation.row_of_slot.size(0), "{}: {} weights for {} slots",
                check.operation(), weights_TA.numel(), permutation.row_of_slot.size(0));
}

}  // namespace

void route(const at::Tensor& expert_ids_TA, const at::Tensor& weights_TA, const at::Tensor& scores_TE,
           const at::Tensor& logits_TE, const at::Tensor& bias_E, const RouterOptions& options) {
  const Checker check("route");
  const bool on_cuda = check.on_cuda({&logits_TE, &expert_ids_TA, &weights_TA, &scores_TE, &bias_E});
  check.dim("logits", logits_TE, 2);
  const int64_t num_tokens = logits_TE.size(0), num_experts = logits_TE.size(1);
  check_router_options(check, options, num_experts);
  check.tensor("logits", logits_TE, at::kFloat, {num_tokens, num_experts});
  check.tensor("scores", scores_TE, at::kFloat, {num_tokens, num_experts});
  check.tensor("expert_ids", expert_ids_TA, at::kInt, {num_tokens, options.num_experts_per_tok});
  check.tensor("weights", weights_TA, at::kFloat, {num_tokens, options.num_experts_per_tok});
  if (bias_E.defined()) check.tensor("bias", bias_E, at::kFloat, {num_experts});
  if (on_cuda) return cuda::route(expert_ids_TA, weights_TA, scores_TE, logits_TE, bias_E, options);
  cpu::route(expert_ids_TA, weights_TA, scores_TE, logits_TE, bias_E, options);
}

void route_backward(const at::Tensor& dlogits_TE, const at::Tensor& dweights_TA, const at::Tensor& dscores_TE,
                    const at::Tensor& expert_ids_TA, const at::Tensor& scores_TE,
                    const RouterOptions& options) {
  const Checker check("route_backward");
  const bool on_cuda = check.on_cuda({&scores_TE, &dlogits_TE, &dweights_TA, &dscores_TE, &expert_ids_TA});
  check.dim("scores", scores_TE, 2);
  const int64_t num_tokens = scores_TE.size(0), num_experts = scores_TE.size(1);
  check_router_options(check, options, num_experts);
  check.tensor("scores", scores_TE, at::kFloat, {num_tokens, num_experts});
  check.tensor("dlogits", dlogits_TE, at::kFloat, {num_tokens, num_experts});
  check.tensor("dweights", dweights_TA, at::kFloat, {num_tokens, options.num_experts_per_tok});
  check.tensor("expert_ids", expert_ids_TA, at::kInt, {num_tokens, options.num_experts_per_tok});
  if (dscores_TE.defined()) check.tensor("dscores", dscores_TE, at::kFloat, {num_tokens, num_experts});
  if (on_cuda)
    return cuda::route_backward(dlogits_TE, dweights_TA, dscores_TE, expert_ids_TA, scores_TE, options);
  cpu::route_backward(dlogits_TE, dweights_TA, dscores_TE, expert_ids_TA, scores_TE, options);
}

Permutation permutation_by_expert(const at::Tensor& expert_ids_TA, int64_t num_experts) {
  const Checker check("permutation_by_expert");
  const bool on_cuda = check.on_cuda({&expert_ids_TA});
  check.dim("expert_ids", expert_ids_TA, 2);
  check.dtype("expert_ids", expert_ids_TA, at::kInt);
  check.contiguous("expert_ids", expert_ids_TA);
  ATHANOR_CHECK(num_experts >= 1, "permutation_by_expert: {} experts", num_experts);
  ATHANOR_CHECK(expert_ids_TA.numel() <= std::numeric_limits<int32_t>::max(),
                "permutation_by_expert: {} slots do not fit 32-bit row numbers", expert_ids_TA.numel());
  if (on_cuda) return cuda::permutation_by_expert(expert_ids_TA, num_experts);
  return cpu::permutation_by_expert(expert_ids_TA, num_experts);
}

void permute(const at::Tensor& x_PD, const at::Tensor& x_TD, const Permutation& permutation) {
  if (check_rows_and_tokens(Checker("permute"), x_PD, x_TD, permutation))
    return cuda::permute(x_PD, x_TD, permutation);
  cpu::permute(x_PD, x_TD, permutation);
}

void permute_backward(const at::Tensor& dx_TD, const at::Tensor& dx_PD, const Permutation& permutation) {
  if (check_rows_and_tokens(Checker("permute_backward"), dx_PD, dx_TD, permutation))
    return cuda::combine(dx_TD, dx_PD, at::Tensor(), permutation);
  cpu::combine(dx_TD, dx_PD, at::Tensor(), permutation);
}

void combine(const at::Tensor& y_TD, const at::Tensor& y_PD, const at::Tensor& weights_TA,
             const Permutation& permutation) {
  const Checker check("combine");
  const bool on_cuda = check_rows_and_tokens(check, y_PD, y_TD, permutation);
  check_weights(check, weights_TA, y_TD.size(0), permutation);
  check.on_cuda({&y_TD, &weights_TA});
  if (on_cuda) return cuda::combine(y_TD, y_PD, weights_TA, permutation);
  cpu::combine(y_TD, y_PD, weights_TA, permutation);
}

void combine_backward(const at::Tensor& dy_PD, const at::Tensor& dweights_TA, const at::Tensor& dy_TD,
                      const at::Tensor& y_PD, const at::Tensor& weights_TA, const Permutation& permutation) {
  const Checker check("combine_backward");
  const bool on_cuda = check_rows_and_tokens(check, y_PD, dy_TD, permutation);
  check_rows_and_tokens(check, dy_PD, dy_TD, permutation);
  check_weights(check, weights_TA, dy_TD.size(0), permutation);
  check_weights(check, dweights_TA, dy_TD.size(0), permutation);
  check.on_cuda({&dy_TD, &dy_PD, &weights_TA, &dweights_TA});
  if (on_cuda) return cuda::combine_backward(dy_PD, dweights_TA, dy_TD, y_PD, weights_TA, permutation);
  cpu::combine_backward(dy_PD, dweights_TA, dy_TD, y_PD, weights_TA, permutation);
}

}  // namespace athanor::kernels
