// A model as a Hugging Face directory: config.json, safetensors under Hugging Face names, tokenizer.json.
#pragma once

#include <cstdint>
#include <string>

#include <ATen/core/ScalarType.h>

#include "inference/model_files.h"

namespace athanor::inference {

struct ExportOptions {
  std::string output;
  at::ScalarType dtype = at::kBFloat16;  ///< fp32 or bf16; router biases stay fp32
  uint64_t max_shard_bytes = uint64_t{5} << 30;
};

struct ExportSummary {
  uint64_t num_tensors = 0, num_elements = 0, num_bytes = 0;  ///< of the weights
};

/// Streams weights one tensor at a time. Of another export in the directory nothing stays that belongs to an
/// export. Errors: UsageError when the output is the model itself, a run, a checkpoint or a directory of
/// checkpoints, or lies directly in one of the latter two; as checkpoints::write_weights.
ExportSummary export_hf(ModelFiles& files, const ExportOptions& options);

}  // namespace athanor::inference
