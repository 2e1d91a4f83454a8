// The two attention layers: latent (DeepSeek-V3) and grouped-query (Llama, Qwen).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "model/batch.h"
#include "model/parameter.h"
#include "model/spec.h"

namespace athanor::model {

class Attention {
 public:
  virtual ~Attention() = default;
  /// x [T, D], already normalised -> [T, D].
  virtual at::Tensor forward(const at::Tensor& x_TD, const MicroBatch& batch) = 0;
  virtual std::vector<Parameter*> parameters() = 0;
};

/// `prefix` is the Hugging Face name of the layer ("model.layers.3"); `layer_idx` its place in the cache.
std::unique_ptr<Attention> make_attention(const ModelSpec& spec, const std::string& prefix,
                                          int64_t layer_idx);

}  // namespace athanor::model
