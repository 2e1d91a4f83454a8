// The two attention layers: latent (DeepSeek-V3) and grouped-query (Llama, Qwen).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "model/axes.h"
#include "model/batch.h"
#include "model/parameter.h"
#include "model/spec.h"

namespace athanor::model {

class Attention {
 public:
  virtual ~Attention() = default;
  /// x [t, D], this rank's tokens, already normalised -> [t, D].
  virtual at::Tensor forward(const at::Tensor& x_tD, const PassContext& pass) = 0;
  virtual std::vector<Parameter*> parameters() = 0;
};

/// `prefix` is the Hugging Face name of the layer ("model.layers.3"); `layer_idx` its place in the cache. The
/// heads are cut among the ranks of the tensor axis.
std::unique_ptr<Attention> make_attention(const ModelSpec& spec, const Axes& axes, const std::string& prefix,
                                          int64_t layer_idx);

}  // namespace athanor::model
