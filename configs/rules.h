// What options must satisfy together. Each rule names the values it compares and what to change.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "configs/run_config.h"

namespace athanor::configs {

/// A broken rule; `keys` are the options it is about, the one to point at first.
struct Violation {
  std::vector<std::string> keys;
  std::string message;
};

using Violations = std::vector<Violation>;

/// What the configuration is about to be used for; cleaning needs no model and no training data.
enum class Purpose {
  kTraining,
  kCleaning,
  kAsWritten  ///< cleaning when the file has `clean` but neither `data` nor `training`, else training
};

/// All broken rules of a configuration whose single values are in range. `world_size`: the number of ranks,
/// if known.
Violations broken_rules(const RunConfig& config, Purpose purpose, std::optional<int64_t> world_size);

/// The parts of it.
void check_clean_rules(const CleanConfig& config, Violations& violations);
void check_model_rules(const ModelConfig& model, Violations& violations);
/// Of the model's own shape, which with `model.from` is known when the directory is opened.
void check_sequence_length(int64_t sequence_length, int64_t max_position_embeddings,
                           int64_t num_nextn_predict_layers, Violations& violations);
void check_training_rules(const RunConfig& config, std::optional<int64_t> world_size, Violations& violations);

/// Options of `model` that may stand beside `model.from`; the directory's own config decides all others.
bool may_stand_beside_from(const std::string& model_option);

}  // namespace athanor::configs
