// One optimizer update: forward and backward per micro batch, reduce, clip, step.
#pragma once

#include <cstdint>
#include <vector>

#include "model/blocks.h"
#include "optim/adamw_optimizer.h"
#include "optim/gradient_norm.h"
#include "optim/schedule.h"
#include "parallel/communicator.h"
#include "trainer/executor.h"
#include "trainer/parameter_store.h"

namespace athanor::trainer {

struct TrainStepOptions {
  double grad_clip = 1.0;        ///< 0: off
  double mtp_loss_weight = 0.3;  ///< of the mean over the prediction modules
};

/// The same on every rank.
struct StepResult {
  int64_t step = 0;                ///< 1 for the first update
  double loss = 0;                 ///< mean over the labelled tokens of the global batch
  std::vector<double> mtp_losses;  ///< the same for each prediction module
  double balance_loss = 0;         ///< weight included
  double grad_norm = 0;            ///< before clipping
  double learning_rate = 0;
  int64_t num_tokens = 0;   ///< of the global batch
  int64_t num_pairs = 0;    ///< model::attended_pairs of the global batch
  bool is_skipped = false;  ///< the gradient or the loss was not finite: nothing was updated
  std::vector<std::vector<int64_t>> expert_tokens;  ///< per MoE layer, of the global batch, dropped ones too
  double dropped_share = 0;  ///< of all choices of experts: those that found no place (CapacityOptions)
};

/// The ranks that take a step together.
struct StepAxes {
  parallel::Communicator& data;  ///< ranks with other micro batches
  parallel::Communicator&
      token;  ///< all ranks with other tokens: data, and the ranks that share a micro batch
};

class TrainStep {
 public:
  /// All outlive this.
  TrainStep(model::Model& model, ParameterStore& store, Executor& executor, optim::AdamWOptimizer& optimizer,
            const optim::Schedule& schedule, const StepAxes& axes, const TrainStepOptions& options)
      : model_(model),
        store_(store),
        executor_(executor),
        optimizer_(optimizer),
        schedule_(schedule),
        axes_(axes),
        options_(options) {}

  /// Update number `step` (from 1) with this rank's micro batches: the i-th is number i * D + r of the step,
  /// for data rank r of D. Collective over all ranks, which pass equally many.
  StepResult run(int64_t step, const std::vector<model::MicroBatch>& micro_batches);

 private:
  std::vector<double> loss_scales(const std::vector<model::MicroBatch>& micro_batches,
                                  std::vector<int64_t>& num_labels);
  void update_weights(StepResult& result);
  void update_router_bias(const StepResult& result);

  model::Model& model_;
  ParameterStore& store_;
  Executor& executor_;
  optim::AdamWOptimizer& optimizer_;
  const optim::Schedule& schedule_;
  StepAxes axes_;
  TrainStepOptions options_;
};

/// Largest over mean tokens of an expert, averaged over the layers; 0 without experts.
double expert_load_max_over_mean(const std::vector<std::vector<int64_t>>& expert_tokens);

}  // namespace athanor::trainer
