// What users call MODEL: a Hugging Face directory, one checkpoint, or a run directory (its newest good
// checkpoint).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "inference/weight_source.h"
#include "model/spec.h"

namespace athanor::inference {

struct ModelFiles {
  std::string path;  ///< what was opened: the directory, or the checkpoint that was chosen
  model::ModelSpec spec;
  std::unique_ptr<WeightSource> weights;
  std::optional<std::string> tokenizer;  ///< tokenizer.json that goes with it, when there is one
  std::vector<int64_t> eos_token_ids;
};

/// MissingInputError when there is nothing at `path`; DataError when it is none of the three, or when
/// configuration and weights do not belong together: too few parameters, or a tensor that has no place in
/// the model.
ModelFiles open_model(const std::string& path);

}  // namespace athanor::inference
