// The feed-forward layers: one SwiGLU, or routed experts beside a shared one (DeepSeekMoE, arXiv 2401.06066).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "model/axes.h"
#include "model/batch.h"
#include "model/capacity.h"
#include "model/dispatch.h"
#include "model/parameter.h"
#include "model/spec.h"

namespace athanor::model {

/// How a run keeps experts evenly loaded. Not part of the model: it changes training only.
struct BalanceOptions {
  double bias_update_rate = 0;  ///< DeepSeek-V3's auxiliary-loss-free rule, applied by the trainer; 0: off
  double sequence_loss_weight = 0;  ///< DeepSeek-V3 equations 17-20, per sequence; 0: off
  double batch_loss_weight = 0;     ///< Switch Transformer's loss per layer over the micro batch; 0: off
};

/// How a run computes routed experts.
struct ExpertOptions {
  CapacityOptions capacity;             ///< of training passes; validation and generation drop nothing
  Payload payload = Payload::kCompute;  ///< of the rows between the ranks that share the experts out
  /// Weight gradients are one product over the rows of all source ranks (RowGroups::joined): fewer and larger
  /// products, but their bits then depend on the layout.
  bool joins_sources = false;
};

struct MoeOptions {
  BalanceOptions balance;
  ExpertOptions experts;
  Axes axes;  ///< never null
};

class Mlp {
 public:
  virtual ~Mlp() = default;
  /// x [t, D], this rank's tokens, already normalised -> [t, D]. A balance loss, if any, goes to `loss` as a
  /// scalar (else left undefined).
  virtual at::Tensor forward(const at::Tensor& x_tD, PassContext& pass, at::Tensor& balance_loss) = 0;
  virtual std::vector<Parameter*> parameters() = 0;
  virtual std::vector<Buffer*> buffers() { return {}; }
};

/// `moe_idx`: the layer's place among the MoE layers (statistics); ignored for a dense layer.
std::unique_ptr<Mlp> make_dense_mlp(const ModelSpec& spec, const Axes& axes, const std::string& prefix,
                                    int64_t width);
std::unique_ptr<Mlp> make_moe_mlp(const ModelSpec& spec, const MoeOptions& options, const std::string& prefix,
                                  int64_t moe_idx);

}  // namespace athanor::model
