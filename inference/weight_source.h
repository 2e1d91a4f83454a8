// Where weights come from: a Hugging Face directory or a checkpoint of our own, read as ranges of parameters.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <ATen/core/ScalarType.h>

#include "checkpoints/checkpoint_reader.h"
#include "checkpoints/tensor_info.h"
#include "model/parameter.h"

namespace athanor::inference {

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  /// Fills `out` with elements [begin, begin + out.size()) of the parameter, as fp32. DataError when it is
  /// missing or of another shape or type, naming file and tensor.
  virtual void read(const model::Parameter& parameter, int64_t begin, std::span<float> out) = 0;
  /// Fills the buffer's value; a source without it leaves zeros (a router that was never balanced).
  virtual void read(model::Buffer& buffer) = 0;
  /// Every weight there is, whether or not a model asks for it; nothing is read for it.
  virtual std::vector<checkpoints::TensorInfo> tensors() const = 0;
  /// What the weights are kept in.
  virtual at::ScalarType dtype() const = 0;
};

/// model.safetensors, or shards with an index.
std::unique_ptr<WeightSource> open_hf_weights(const std::string& directory);
/// One checkpoint directory (step-00000120), verified so far as `verify` says.
std::unique_ptr<WeightSource> open_checkpoint_weights(
    const std::string& checkpoint, checkpoints::Verify verify = checkpoints::Verify::kDigests);

}  // namespace athanor::inference
