// A model is a sequence of blocks; an executor runs it.
//
// A block maps activations and its own parameters to activations. It knows nothing of sharding, schedules or
// recomputation: the executor binds parameters before a call, cuts the graph between blocks, and walks them
// forward and backward. With tensor parallelism a rank holds, between blocks, its own consecutive share of
// the micro batch's tokens (suffix t; T is all of them); the batch itself is whole on every rank of the
// tensor axis. The order is: embedding, decoder layers, head (final norm and loss), then for every prediction
// depth a multi-token prediction layer and its head.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "model/axes.h"
#include "model/batch.h"
#include "model/mlp.h"
#include "model/parameter.h"
#include "model/spec.h"

namespace athanor::model {

struct BlockOutput {
  at::Tensor hidden_tD;  ///< what the next block takes
  at::Tensor loss;       ///< scalar to be differentiated with gradient 1, or undefined
};

class Block {
 public:
  virtual ~Block() = default;
  virtual BlockOutput forward(const at::Tensor& hidden_tD, PassContext& pass) = 0;
  /// Parameters that belong to this block, in the order of its flat buffers.
  virtual std::vector<Parameter*> parameters() = 0;
  /// Parameters of other blocks that this one uses (tied embedding, shared head).
  virtual std::vector<Parameter*> borrowed() { return {}; }
  virtual std::vector<Buffer*> buffers() { return {}; }
  /// Whether this block takes a loss. Its loss and its gradients come out of one pass over the vocabulary, so
  /// the executor runs it without a loss on the way forward and once more, with it, on the way back.
  virtual bool is_head() const { return false; }
  virtual const std::string& name() const = 0;
};

/// What of a run shapes the blocks beside the model itself.
struct ModelOptions {
  BalanceOptions balance;
  ExpertOptions experts;
  Axes axes;  ///< null: this rank alone; the communicators outlive the model
};

struct Model {
  ModelSpec spec;
  BalanceOptions balance;
  Axes axes;                                      ///< never null
  std::unique_ptr<parallel::Communicator> alone;  ///< stands in for axes that were not given
  std::vector<std::unique_ptr<Block>> blocks;
  Parameter* embedding_table = nullptr;
  Parameter* vocabulary_matrix = nullptr;  ///< the head's projection; the embedding table when tied
  int64_t num_moe_layers = 0;              ///< those of the prediction modules included
  int64_t num_cached_layers = 0;           ///< attention layers that decoding runs
  size_t num_decoding_blocks = 0;          ///< the blocks up to and including the head: decoding stops there
};

/// Declares the blocks; parameters are unbound and have the shapes of this rank's share. Throws ConfigError
/// listing the spec's problems, among them degrees that do not divide what they split.
Model build_model(const ModelSpec& spec, const ModelOptions& options = {});

/// A context for one pass over `batch` with its report fields sized for `model`.
PassContext make_pass(const Model& model, const MicroBatch& batch);

/// How many tokens of `batch` are labelled for prediction depth `depth` (0: the next token).
int64_t num_labels(const MicroBatch& batch, int64_t depth);

/// Every parameter of the model once, in block order.
std::vector<Parameter*> all_parameters(Model& model);
std::vector<Buffer*> all_buffers(Model& model);

}  // namespace athanor::model
