#include <limits>

#include "core/error.h"
#include "kernels/cpu/mixture_of_experts.h"
#include "kernels/ops.h"
#include "kernels/tensor_check.h"

namespace athanor::kernels {
namespace {

void check_router_options(const char* operation, const RouterOptions& options, int64_t num_experts) {
  const auto& [score, num_chosen, n_group, topk_group, norm, scale] = options;
  ATHANOR_CHECK(num_chosen >= 1 && num_chosen <= num_experts, "{}: {} experts per token out of {}", operation,
                num_chosen, num_experts);
  ATHANOR_CHECK(n_group >= 1 && num_experts % n_group == 0, "{}: {} experts do not split into {} groups", operation,
                num_experts, n_group);
  ATHANOR_CHECK(topk_group >= 1 && topk_group <= n_group, "{}: topk_group {} out of {} groups", operation, topk_group,
                n_group);
  ATHANOR_CHECK(topk_group * (num_experts / n_group) >= num_chosen,
                "{}: {} groups of {} experts hold fewer than {} experts per token", operation, topk_group,
                num_experts / n_group, num_chosen);
}

// A permutation is made by permutation_by_expert, but travels through a model: its ids are used as addresses.
void check_permutation(const char* operation, const Permutation& permutation, int64_t num_tokens) {
  check_tensor(operation, "row_of_slot", permutation.row_of_slot, at::kInt, {kAnySize});
  check_tensor(operation, "token_of_row", permutation.token_of_row, at::kInt, {kAnySize});
  ATHANOR_CHECK(!permutation.offsets.empty() && permutation.offsets.back() == permutation.token_of_row.size(0),
                "{}: the offsets of the permutation do not end at its {} rows", operation,
                permutation.token_of_row.size(0));
  const int64_t num_slots = permutation.row_of_slot.size(0);
  ATHANOR_CHECK(num_tokens == 0 ? num_slots == 0 : num_slots % num_tokens == 0,
                "{}: the permutation has {} slots, not a multiple of {} tokens", operation, num_slots, num_tokens);
}

}  // namespace

void route(const at::Tensor& expert_ids_TA, const at::Tensor& weights_TA, const at::Tensor& scores_TE,
           const at::Tensor& logits_TE, const at::Tensor& bias_E, const RouterOptions& options) {
  check_tensor("route", "logits", logits_TE, at::kFloat, {kAnySize, kAnySize});
  const int64_t num_tokens = logits_TE.size(0), num_experts = logits_TE.size(1);
  check_router_options("route", options, num_experts);
  check_tensor("route", "scores", scores_TE, at::kFloat, {num_tokens, num_experts});
  check_tensor("route", "expert_ids", expert_ids_TA, at::kInt, {num_tokens, options.num_experts_per_tok});
  check_tensor("route", "weights", weights_TA, at::kFloat, {num_tokens, options.num_experts_per_tok});
  if (bias_E.defined()) check_tensor("route", "bias", bias_E, at::kFloat, {num_experts});
  cpu::route(expert_ids_TA, weights_TA, scores_TE, logits_TE, bias_E, options);
}

void route_backward(const at::Tensor& dlogits_TE, const at::Tensor& dweights_TA, const at::Tensor& dscores_TE,
                    const at::Tensor& expert_ids_TA, const at::Tensor& scores_TE, const RouterOptions& options) {
  check_tensor("route_backward", "scores", scores_TE, at::kFloat, {kAnySize, kAnySize});
  const int64_t num_tokens = scores_TE.size(0), num_experts = scores_TE.size(1);
  check_router_options("route_backward", options, num_experts);
  check_tensor("route_backward", "dlogits", dlogits_TE, at::kFloat, {num_tokens, num_experts});
  check_tensor("route_backward", "dweights", dweights_TA, at::kFloat, {num_tokens, options.num_experts_per_tok});
  check_tensor("route_backward", "expert_ids", expert_ids_TA, at::kInt, {num_tokens, options.num_experts_per_tok});
  if (dscores_TE.defined()) check_tensor("route_backward", "dscores", dscores_TE, at::kFloat, {num_tokens, num_experts});
  cpu::route_backward(dlogits_TE, dweights_TA, dscores_TE, expert_ids_TA, scores_TE, options);
}

Permutation permutation_by_expert(const at::Tensor& expert_ids_TA, int64_t num_experts) {
  check_tensor("permutation_by_expert", "expert_ids", expert_ids_TA, at::kInt, {kAnySize, kAnySize});
  ATHANOR_CHECK(num_experts >= 1, "permutation_by_expert: {} experts", num_experts);
  ATHANOR_CHECK(expert_ids_TA.numel() <= std::numeric_limits<int32_t>::max(),
                "permutation_by_expert: {} slots do not fit 32-bit row numbers", expert_ids_TA.numel());
  return cpu::permutation_by_expert(expert_ids_TA, num_experts);
}

void permute(const at::Tensor& x_PD, const at::Tensor& x_TD, const Permutation& permutation) {
  const at::ScalarType dtype = check_compute_dtype("permute", "x_TD", x_TD, 2);
  check_permutation("permute", permutation, x_TD.size(0));
  check_tensor("permute", "x_TD", x_TD, dtype, {kAnySize, kAnySize});
  check_tensor("permute", "x_PD", x_PD, dtype, {permutation.token_of_row.size(0), x_TD.size(1)});
  cpu::permute(x_PD, x_TD, permutation);
}

void permute_backward(const at::Tensor& dx_TD, const at::Tensor& dx_PD, const Permutation& permutation) {
  const at::ScalarType dtype = check_compute_dtype("permute_backward", "dx_TD", dx_TD, 2);
  check_permutation("permute_backward", permutation, dx_TD.size(0));
  check_tensor("permute_backward", "dx_TD", dx_TD, dtype, {kAnySize, kAnySize});
  check_tensor("permute_backward", "dx_PD", dx_PD, dtype, {permutation.token_of_row.size(0), dx_TD.size(1)});
  cpu::combine(dx_TD, dx_PD, at::Tensor(), permutation);
}

void combine(const at::Tensor& y_TD, const at::Tensor& y_PD, const at::Tensor& weights_TA,
             const Permutation& permutation) {
  const at::ScalarType dtype = check_compute_dtype("combine", "y_TD", y_TD, 2);
  check_permutation("combine", permutation, y_TD.size(0));
  check_tensor("combine", "y_TD", y_TD, dtype, {kAnySize, kAnySize});
  check_tensor("combine", "y_PD", y_PD, dtype, {permutation.token_of_row.size(0), y_TD.size(1)});
  check_tensor("combine", "weights", weights_TA, at::kFloat, {y_TD.size(0), kAnySize});
  ATHANOR_CHECK(weights_TA.numel() == permutation.row_of_slot.size(0), "combine: {} weights for {} slots",
                weights_TA.numel(), permutation.row_of_slot.size(0));
  cpu::combine(y_TD, y_PD, weights_TA, permutation);
}

void combine_backward(const at::Tensor& dy_PD, const at::Tensor& dweights_TA, const at::Tensor& dy_TD,
                      const at::Tensor& y_PD, const at::Tensor& weights_TA, const Permutation& permutation) {
  const char* operation = "combine_backward";
  const at::ScalarType dtype = check_compute_dtype(operation, "dy_TD", dy_TD, 2);
  check_permutation(operation, permutation, dy_TD.size(0));
  const int64_t num_rows = permutation.token_of_row.size(0), hidden = dy_TD.size(1);
  check_tensor(operation, "dy_TD", dy_TD, dtype, {kAnySize, kAnySize});
  check_tensor(operation, "dy_PD", dy_PD, dtype, {num_rows, hidden});
  check_tensor(operation, "y_PD", y_PD, dtype, {num_rows, hidden});
  check_tensor(operation, "weights", weights_TA, at::kFloat, {dy_TD.size(0), kAnySize});
  check_tensor(operation, "dweights", dweights_TA, at::kFloat, {dy_TD.size(0), weights_TA.size(1)});
  ATHANOR_CHECK(weights_TA.numel() == permutation.row_of_slot.size(0), "combine_backward: {} weights for {} slots",
                weights_TA.numel(), permutation.row_of_slot.size(0));
  cpu::combine_backward(dy_PD, dweights_TA, dy_TD, y_PD, weights_TA, permutation);
}

}  // namespace athanor::kernels
