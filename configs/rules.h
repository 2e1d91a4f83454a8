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
/// kAsWritten: cleaning when the file has `clean` but neither `data` nor `training`, else training.
enum class Purpose { kTraining, kCleaning, kAsWritten };

/// All broken rules of a configuration whose single values are in range. `world_size`: the number of ranks,
/// if known.
Violations broken_rules(const RunConfig& config, Purpose purpose, std::optional<int64_t> world_size);

/// The parts of it.
void check_model_rules(const ModelConfig& model, Violations& violations);
void check_training_rules(const RunConfig& config, std::optional<int64_t> world_size, Violations& violations);

/// Options of `model` that may stand beside `model.from`; the directory's own config decides all others.
bool may_stand_beside_from(const std::string& model_option);

}  // namespace athanor::configs
