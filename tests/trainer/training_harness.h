// A model in training without files, loops or ranks other than those given: what the tests of the trainer
// share.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "model/blocks.h"
#include "optim/adamw_optimizer.h"
#include "optim/schedule.h"
#include "parallel/communicator.h"
#include "parallel/mesh_communicators.h"
#include "trainer/executor.h"
#include "trainer/parameter_store.h"
#include "trainer/train_step.h"

namespace athanor::tests {

struct HarnessOptions {
  int zero_stage = 1;
  at::ScalarType compute_dtype = at::kFloat;
  std::optional<kernels::Fp8Scale> fp8 = std::nullopt;
  bool gathers_fp8 = true;
  bool is_fast = false;  ///< as `reproducible: fast`
  trainer::Recompute recompute = trainer::Recompute::kNone;
  optim::AdamWHyper adamw = {};
  optim::ScheduleOptions schedule = {
      .kind = optim::ScheduleKind::kConstant, .learning_rate = 1e-3, .total_steps = 1000};
  bool decays_all = false;
  double grad_clip = 1.0;
  model::BalanceOptions balance = {};
  model::ExpertOptions experts = {};
  at::Device device = at::kCPU;
};

/// Who shares what with this rank.
struct HarnessAxes {
  model::Axes model;
  trainer::ReplicaAxes replicas;
  trainer::StepAxes step;

  /// Every rank of `data` holds the whole model.
  static HarnessAxes replicated(parallel::Communicator& data);
  /// As in a run.
  static HarnessAxes of(parallel::MeshCommunicators& axes);
};

class Harness {
 public:
  /// `reader` fills the weights.
  Harness(const model::ModelSpec& spec, const HarnessOptions& options, const HarnessAxes& axes,
          const trainer::ParameterStore::Reader& reader);
  Harness(const model::ModelSpec& spec, const HarnessOptions& options, parallel::Communicator& data,
          const trainer::ParameterStore::Reader& reader)
      : Harness(spec, options, HarnessAxes::replicated(data), reader) {}

  model::Model model;
  std::unique_ptr<trainer::ParameterStore> store;
  std::unique_ptr<trainer::Executor> executor;
  std::unique_ptr<optim::AdamWOptimizer> optimizer;
  std::unique_ptr<optim::Schedule> schedule;
  std::unique_ptr<trainer::TrainStep> step;

  /// Moves the buffers to the harness's device: call it after filling them.
  void place_buffers();
  /// Digest of this rank's masters and moments, in order.
  std::string state_digest() const;

 private:
  at::Device device_ = at::kCPU;
};

/// Whole sequences of equal length, one document each. labels[t] is what position t predicts.
model::MicroBatch micro_batch(const model::ModelSpec& spec, const std::vector<int64_t>& ids,
                              const std::vector<int64_t>& labels, int64_t sequence_length);

}  // namespace athanor::tests
