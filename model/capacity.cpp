// T tokens, A experts per token, E experts.
#include "model/capacity.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"

namespace athanor::model {
namespace {

int64_t places_per_expert(int64_t num_choices, int64_t num_experts, double factor) {
  return static_cast<int64_t>(
      std::ceil(factor * static_cast<double>(num_choices) / static_cast<double>(num_experts)));
}

// Choices, as indices into [T, A], of every expert, in token order.
std::vector<std::vector<int64_t>> choices_of_experts(const at::Tensor& ids_TA, int64_t num_experts) {
  std::vector<std::vector<int64_t>> choices(static_cast<size_t>(num_experts));
  const int32_t* ids = ids_TA.const_data_ptr<int32_t>();
  for (int64_t i = 0; i < ids_TA.numel(); ++i) choices.at(static_cast<size_t>(ids[i])).push_back(i);
  return choices;
}

}  // namespace

CapacityResult limit_to_capacity(const at::Tensor& expert_ids_TA, const at::Tensor& weights_TA,
                                 int64_t num_experts, const CapacityOptions& options) {
  ATHANOR_CHECK(options.factor > 0, "a capacity factor of {}", options.factor);
  // The decision is made on the host, wherever the tokens are.
  const at::Tensor ids_TA = expert_ids_TA.to(at::kCPU, /*non_blocking=*/false, /*copy=*/true);
  const at::Tensor host_weights_TA = weights_TA.to(at::kCPU);
  const float* weights = host_weights_TA.const_data_ptr<float>();
  const int64_t places = places_per_expert(ids_TA.numel(), num_experts, options.factor);
  int32_t* ids = ids_TA.mutable_data_ptr<int32_t>();
  CapacityResult result;
  for (auto& choices : choices_of_experts(ids_TA, num_experts)) {
    if (static_cast<int64_t>(choices.size()) <= places) continue;
    if (options.policy == CapacityPolicy::kScore)
      std::stable_sort(choices.begin(), choices.end(),
                       [&](int64_t a, int64_t b) { return weights[a] > weights[b]; });
    for (auto choice = choices.begin() + places; choice != choices.end(); ++choice) ids[*choice] = -1;
    result.num_dropped += static_cast<int64_t>(choices.size()) - places;
  }
  result.expert_ids_TA = ids_TA.to(expert_ids_TA.device());
  return result;
}

}  // namespace athanor::model
