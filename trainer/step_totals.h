// What the micro batches of a step report, added up over micro batches and ranks in an order that does not
// depend on the layout: losses by the number of the micro batch, counts as integers.
#pragma once

#include <cstdint>
#include <vector>

#include "model/blocks.h"
#include "parallel/communicator.h"
#include "trainer/train_step.h"

namespace athanor::trainer {

/// Labelled tokens of the step at every prediction depth. Collective over `data`.
std::vector<int64_t> count_labels(const model::Model& model,
                                  const std::vector<model::MicroBatch>& micro_batches,
                                  parallel::Communicator& data);

/// Sum of one double per micro batch over all micro batches of all ranks, where the i-th of `values` is
/// number i * D + r for data rank r. Every rank passes equally many. Collective over `data`.
double sum_by_micro_batch(const std::vector<double>& values, parallel::Communicator& data);

class StepTotals {
 public:
  StepTotals(const model::Model& model, const StepAxes& axes);
  /// After each micro batch, in order.
  void add(const model::PassContext& pass);
  /// Fills losses, token and expert counts of `result`. Collective over both axes.
  void report(const std::vector<int64_t>& num_labels, StepResult& result);

 private:
  const model::ModelSpec& spec_;
  StepAxes axes_;
  std::vector<std::vector<double>> loss_sums_;  ///< [depth][micro batch]
  std::vector<double> balance_losses_;
  std::vector<std::vector<int64_t>> expert_tokens_;
  int64_t num_tokens_ = 0, num_pairs_ = 0, num_dropped_ = 0;
};

}  // namespace athanor::trainer
