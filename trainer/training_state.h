// The state of a run as a checkpoint keeps it: masters, moments, buffers and counters, each tensor cut into
// the pieces that this rank holds, named and measured so that any other layout can read them back.
#pragma once

#include <cstdint>
#include <string>

#include "checkpoints/checkpoint_reader.h"
#include "checkpoints/host_snapshot.h"
#include "model/blocks.h"
#include "optim/adamw_optimizer.h"
#include "trainer/parameter_store.h"

namespace athanor::trainer {

/// How far a run has come, beside its tensors. The same on every rank.
struct RunCounters {
  int64_t step = 0;              ///< updates made or skipped
  int64_t consumed_samples = 0;  ///< sequences: the position of the data loader
  int64_t consumed_tokens = 0;
  int64_t optimizer_steps = 0;  ///< updates made
  int64_t skipped_in_a_row = 0;
  double best_validation_loss = 0;  ///< meaningful after the first validation
  int64_t num_validations = 0;
  int64_t validations_without_improvement = 0;
};

/// What may not change between two starts of one run, because the data would no longer be the same.
struct RunIdentity {
  std::string model_config;  ///< config.json of the model
  std::string data_fingerprint;
  std::string tokenizer_digest;
  int64_t seed = 0;
  int64_t sequence_length = 0;
};

struct TrainingState {
  model::Model& model;
  ParameterStore& store;
  optim::AdamWOptimizer& optimizer;
};

struct StateSnapshot {
  checkpoints::Snapshot snapshot;
  std::vector<at::Tensor> host_copies;  ///< what the slices of tensors on a device point into
};

/// This rank's part of a checkpoint. The slices point into living tensors, where those are in host memory:
/// take the snapshot before the next step.
StateSnapshot make_snapshot(const TrainingState& state, const RunCounters& counters,
                            const RunIdentity& identity, const std::string& config_yaml, bool saves_buffers);

/// Fills masters, moments, buffers and counters from a checkpoint of any layout. ConfigError when the
/// checkpoint belongs to another model, data or seed, naming what differs and what to do.
RunCounters restore(const checkpoints::CheckpointReader& reader, TrainingState& state,
                    const RunIdentity& identity);

}  // namespace athanor::trainer
