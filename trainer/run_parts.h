// Everything a training run is made of, built from its configuration, one function per part.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "configs/run_config.h"
#include "data/loader/token_dataset.h"
#include "model/blocks.h"
#include "optim/adamw_optimizer.h"
#include "optim/schedule.h"
#include "parallel/mesh.h"
#include "parallel/mesh_communicators.h"
#include "parallel/session.h"
#include "trainer/executor.h"
#include "trainer/parameter_store.h"
#include "trainer/train_step.h"
#include "trainer/training_state.h"
#include "trainer/validator.h"

namespace athanor::trainer {

struct RunParts {
  at::Device device = at::kCPU;  ///< where this rank's tensors live
  std::unique_ptr<parallel::Mesh> mesh;
  std::unique_ptr<parallel::MeshCommunicators> axes;
  std::shared_ptr<const data::TokenDataset> train_data, validation_data;  ///< the second may be null
  std::unique_ptr<model::Model> model;
  std::unique_ptr<ParameterStore> store;
  std::unique_ptr<optim::AdamWOptimizer> optimizer;
  std::unique_ptr<optim::Schedule> schedule;
  std::unique_ptr<Executor> executor;
  std::unique_ptr<TrainStep> step;
  std::unique_ptr<Validator> validator;  ///< null without validation data
  RunIdentity identity;
  std::string tokenizer;  ///< tokenizer.json that made the shards: data.tokenizer, or that of model.from
  int64_t total_steps = 0;

  parallel::Communicator& axis(parallel::Axis which) { return (*axes)[which]; }
  /// The ranks with other micro batches.
  parallel::Communicator& data_axis() { return axis(parallel::Axis::kReplica); }
};

/// Weights are initialised, or loaded from `model.from`; a checkpoint is restored later. Collective over the
/// session.
RunParts build_run_parts(const configs::RunConfig& config, parallel::Session& session);

/// Steps until the configured end (max_steps, max_tokens or max_epochs), counted from the run's beginning:
/// those it has taken, whatever their batch was, and those that what is left of its tokens or epochs takes
/// now.
int64_t total_steps(const configs::RunConfig& config, uint64_t sequences_per_epoch,
                    const RunCounters& so_far);

/// Sets the end of the run, and the schedule that goes by it, for a run that has come so far.
void set_end(const configs::RunConfig& config, const RunCounters& so_far, RunParts& parts);

}  // namespace athanor::trainer
