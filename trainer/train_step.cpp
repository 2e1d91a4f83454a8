#include "trainer/train_step.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <ATen/ops/empty.h>

#include "core/error.h"
#include "trainer/step_totals.h"

namespace athanor::trainer {

StepResult TrainStep::run(int64_t step, const std::vector<model::MicroBatch>& micro_batches) {
  StepResult result{.step = step, .learning_rate = schedule_.learning_rate_at(step - 1)};
  std::vector<int64_t> num_labels;
  const std::vector<double> scales = loss_scales(micro_batches, num_labels);
  StepTotals totals(model_, axes_);
  for (size_t i = 0; i < micro_batches.size(); ++i) {
    model::PassContext pass = model::make_pass(model_, micro_batches[i]);
    pass.is_training = true;
    pass.loss_scale = scales;
    pass.micro_batch_share = 1.0 / static_cast<double>(micro_batches.size() * axes_.data.size());
    store_.begin_micro_batch(/*is_last=*/i + 1 == micro_batches.size());
    executor_.forward_backward(pass);
    store_.finish_micro_batch();
    totals.add(pass);
  }
  totals.report(num_labels, result);
  update_weights(result);
  if (!result.is_skipped) update_router_bias(result);
  return result;
}

// What makes the sum over all micro batches the mean over the labelled tokens of the step.
std::vector<double> TrainStep::loss_scales(const std::vector<model::MicroBatch>& micro_batches,
                                           std::vector<int64_t>& num_labels) {
  num_labels = count_labels(model_, micro_batches, axes_.data);
  std::vector<double> scales;
  for (size_t depth = 0; depth < num_labels.size(); ++depth) {
    const double weight =
        depth == 0 ? 1.0 : options_.mtp_loss_weight / static_cast<double>(num_labels.size() - 1);
    scales.push_back(num_labels[depth] ? weight / static_cast<double>(num_labels[depth]) : 0.0);
  }
  return scales;
}

void TrainStep::update_weights(StepResult& result) {
  const optim::GradientNorm norm = optim::global_gradient_norm(store_.gradient_shards(), {&axes_.token});
  result.grad_norm = norm.value;
  // Every rank has the same norm and the same loss, bit for bit, so every rank decides alike.
  result.is_skipped = !norm.is_finite() || !std::isfinite(result.loss);
  if (!result.is_skipped) {
    std::vector<optim::StepInput> inputs;
    const auto gradients = store_.slice_gradients();
    for (size_t i = 0; i < gradients.size(); ++i)
      inputs.push_back({gradients[i], store_.slices()[i].compute});
    optimizer_.step(inputs, result.learning_rate, norm.clip_scale(options_.grad_clip));
    store_.publish();
  }
  store_.clear_gradients();
}

// DeepSeek-V3, section 2.1.2: the bias of an expert with more than its share of the tokens goes down by the
// update rate, that of one with less goes up.
void TrainStep::update_router_bias(const StepResult& result) {
  const auto rate = static_cast<float>(model_.balance.bias_update_rate);
  const auto buffers = model::all_buffers(model_);
  if (rate == 0 || buffers.empty()) return;
  for (size_t layer = 0; layer < buffers.size(); ++layer) {
    const std::vector<int64_t>& tokens = result.expert_tokens[layer];
    const auto num_experts = static_cast<int64_t>(tokens.size());
    const int64_t total = std::accumulate(tokens.begin(), tokens.end(), int64_t{0});
    const at::Tensor change = at::empty({num_experts}, at::kFloat);
    float* changes = change.mutable_data_ptr<float>();
    for (int64_t e = 0; e < num_experts; ++e) {
      const int64_t excess = tokens[e] * num_experts - total;
      changes[e] = rate * static_cast<float>((excess > 0) - (excess < 0));
    }
    buffers[layer]->value.sub_(change.to(buffers[layer]->value.device(), /*non_blocking=*/true));
  }
}

double expert_load_max_over_mean(const std::vector<std::vector<int64_t>>& expert_tokens) {
  double sum = 0;
  for (const auto& tokens : expert_tokens) {
    const int64_t total = std::accumulate(tokens.begin(), tokens.end(), int64_t{0});
    if (total == 0) continue;
    sum += static_cast<double>(*std::max_element(tokens.begin(), tokens.end()) *
                               static_cast<int64_t>(tokens.size())) /
           static_cast<double>(total);
  }
  return expert_tokens.empty() ? 0 : sum / static_cast<double>(expert_tokens.size());
}

}  // namespace athanor::trainer
