// A model with all its weights in memory, ready to score and to generate.
//
// Weights never change here, so every matrix is packed for the product kernels once, at loading.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "inference/weight_source.h"
#include "model/blocks.h"

namespace athanor::inference {

class LoadedModel {
 public:
  /// Builds the model of `spec` and fills it from `source` in `dtype` (fp32 or bf16). Prediction modules are
  /// left out: decoding does not run them. The weights go to `device`, which is open already
  /// (kernels::open_cuda_device).
  LoadedModel(const model::ModelSpec& spec, WeightSource& source, at::ScalarType dtype,
              at::Device device = at::kCPU);

  const model::ModelSpec& spec() const { return model_.spec; }
  model::Model& model() { return model_; }
  at::ScalarType dtype() const { return dtype_; }
  at::Device device() const { return device_; }

  /// Runs `batch`, wherever its tensors are, up to the final norm: hidden states [T, D] on the device.
  /// Records nothing.
  at::Tensor hidden_states(const model::MicroBatch& batch);
  /// Projects hidden states [T, D] to logits [T, V], fp32, in host memory.
  at::Tensor logits(const at::Tensor& hidden_TD);

 private:
  model::Model model_;
  at::ScalarType dtype_;
  at::Device device_;
};

/// A micro batch of whole sequences without labels, one document each. Token ids are checked against the
/// vocabulary: DataError naming the first bad one.
model::MicroBatch batch_of_sequences(const model::ModelSpec& spec,
                                     const std::vector<std::vector<int64_t>>& sequences);

/// DataError unless all logits of the token at `position` (from 0) of the text `text_idx` (named from 1) are
/// finite.
void check_finite(std::span<const float> logits, size_t text_idx, size_t position);

}  // namespace athanor::inference
