#include "trainer/step_totals.h"

#include <numeric>

#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include "core/error.h"

namespace athanor::trainer {
namespace {

void sum_over_ranks(std::vector<int64_t>& values, parallel::Communicator& axis) {
  at::Tensor sum = at::tensor(values, at::kLong);
  axis.all_reduce(sum, parallel::ReduceOp::kSum).wait();
  const int64_t* sums = sum.const_data_ptr<int64_t>();
  values.assign(sums, sums + values.size());
}

}  // namespace

std::vector<int64_t> count_labels(const model::Model& model,
                                  const std::vector<model::MicroBatch>& micro_batches,
                                  parallel::Communicator& data) {
  std::vector<int64_t> counts(static_cast<size_t>(model.spec.num_nextn_predict_layers) + 1, 0);
  for (const model::MicroBatch& batch : micro_batches)
    for (size_t depth = 0; depth < counts.size(); ++depth)
      counts[depth] += model::num_labels(batch, static_cast<int64_t>(depth));
  sum_over_ranks(counts, data);
  return counts;
}

double sum_by_micro_batch(const std::vector<double>& values, parallel::Communicator& data) {
  const at::Tensor mine = at::tensor(values, at::kDouble);
  const int64_t count = mine.size(0), ranks = data.size();
  const at::Tensor all = at::empty({ranks * count}, at::kDouble);
  data.all_gather(all, mine).wait();
  const double* gathered = all.const_data_ptr<double>();
  double sum = 0;
  for (int64_t i = 0; i < count; ++i)
    for (int64_t rank = 0; rank < ranks; ++rank) sum += gathered[rank * count + i];
  return sum;
}

StepTotals::StepTotals(const model::Model& model, const StepAxes& axes)
    : spec_(model.spec),
      axes_(axes),
      loss_sums_(static_cast<size_t>(model.spec.num_nextn_predict_layers) + 1),
      expert_tokens_(static_cast<size_t>(model.num_moe_layers),
                     std::vector<int64_t>(static_cast<size_t>(model.spec.n_routed_experts), 0)) {}

void StepTotals::add(const model::PassContext& pass) {
  for (size_t depth = 0; depth < loss_sums_.size(); ++depth)
    loss_sums_[depth].push_back(pass.loss_sum[depth]);
  balance_losses_.push_back(pass.balance_loss);
  num_tokens_ += pass.batch.ids_T.size(0);
  num_pairs_ += model::attended_pairs(spec_, pass.batch.document_offsets);
  num_dropped_ += pass.num_dropped;
  for (size_t layer = 0; layer < expert_tokens_.size(); ++layer) {
    const auto& counted = pass.expert_tokens[layer];
    ATHANOR_CHECK(counted.size() == expert_tokens_[layer].size(), "MoE layer {} reported {} experts of {}",
                  layer, counted.size(), expert_tokens_[layer].size());
    for (size_t e = 0; e < counted.size(); ++e) expert_tokens_[layer][e] += counted[e];
  }
}

void StepTotals::report(const std::vector<int64_t>& num_labels, StepResult& result) {
  const auto mean = [&](size_t depth) {
    const double sum = sum_by_micro_batch(loss_sums_[depth], axes_.data);
    return num_labels[depth] ? sum / static_cast<double>(num_labels[depth]) : 0.0;
  };
  result.loss = mean(0);
  for (size_t depth = 1; depth < loss_sums_.size(); ++depth) result.mtp_losses.push_back(mean(depth));
  result.balance_loss = sum_by_micro_batch(balance_losses_, axes_.data);

  std::vector<int64_t> sizes = {num_tokens_, num_pairs_};
  sum_over_ranks(sizes, axes_.data);
  result.num_tokens = sizes[0];
  result.num_pairs = sizes[1];
  // The ranks that share a micro batch have counted the choices of different tokens.
  std::vector<int64_t> counts = {num_dropped_};
  for (const auto& layer : expert_tokens_) counts.insert(counts.end(), layer.begin(), layer.end());
  sum_over_ranks(counts, axes_.token);
  const int64_t num_choices = std::accumulate(counts.begin() + 1, counts.end(), int64_t{0});
  if (num_choices)
    result.dropped_share = static_cast<double>(counts.front()) / static_cast<double>(num_choices);
  auto next = counts.begin() + 1;
  for (auto& layer : expert_tokens_) {
    std::copy(next, next + static_cast<int64_t>(layer.size()), layer.begin());
    next += static_cast<int64_t>(layer.size());
  }
  result.expert_tokens = expert_tokens_;
}

}  // namespace athanor::trainer
