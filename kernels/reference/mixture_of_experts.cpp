#include "kernels/reference/mixture_of_experts.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>

namespace athanor::kernels::reference {
namespace {

// Positions by falling value; equal values keep their order.
std::vector<int64_t> ranking(const std::vector<double>& values) {
  std::vector<int64_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return values[a] > values[b]; });
  return order;
}

std::vector<double> group_scores(const std::vector<double>& choice, int64_t n_group) {
  const auto group_size = static_cast<int64_t>(choice.size()) / n_group;
  std::vector<double> scores;
  for (int64_t g = 0; g < n_group; ++g) {
    std::vector<double> group(choice.begin() + g * group_size, choice.begin() + (g + 1) * group_size);
    std::sort(group.rbegin(), group.rend());
    scores.push_back(group[0] + (group_size > 1 ? group[1] : 0.0));
  }
  return scores;
}

std::vector<int64_t> chosen_experts(std::vector<double> choice, const RouterOptions& options) {
  const auto num_experts = static_cast<int64_t>(choice.size());
  const std::vector<int64_t> groups = ranking(group_scores(choice, options.n_group));
  for (int64_t g = options.topk_group; g < options.n_group; ++g)
    for (int64_t e = 0; e < num_experts / options.n_group; ++e)
      choice[groups[g] * (num_experts / options.n_group) + e] = -std::numeric_limits<double>::infinity();
  std::vector<int64_t> ids = ranking(choice);
  ids.resize(options.num_experts_per_tok);
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace

RouteResult route(const at::Tensor& logits_TE, const at::Tensor& bias_E, const RouterOptions& options) {
  const at::Tensor logits = logits_TE.to(at::kDouble);
  const bool is_sigmoid = options.score == RouterScore::kSigmoid;
  const at::Tensor scores = is_sigmoid ? at::sigmoid(logits) : at::softmax(logits, 1);
  const at::Tensor choice =
      (bias_E.defined() ? scores + bias_E.to(at::kDouble) : scores).detach().contiguous();
  const int64_t num_tokens = logits.size(0), num_experts = logits.size(1);
  const at::Tensor ids = at::empty({num_tokens, options.num_experts_per_tok}, at::kLong);
  for (int64_t t = 0; t < num_tokens; ++t) {
    const double* row = choice.const_data_ptr<double>() + t * num_experts;
    const auto chosen = chosen_experts({row, row + num_experts}, options);
    std::copy(chosen.begin(), chosen.end(), ids.data_ptr<int64_t>() + t * options.num_experts_per_tok);
  }
  at::Tensor weights = at::gather(scores, 1, ids);
  if (options.norm_topk_prob) weights = weights / (weights.sum(1, true) + (is_sigmoid ? 1e-20 : 0.0));
  return {ids, weights * options.routed_scaling_factor, scores};
}

at::Tensor combine(const at::Tensor& expert_rows_TAD, const at::Tensor& weights_TA) {
  return (expert_rows_TAD.to(at::kDouble) * weights_TA.to(at::kDouble).unsqueeze(2)).sum(1);
}

}  // namespace athanor::kernels::reference
