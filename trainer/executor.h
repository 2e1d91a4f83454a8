// Walks the blocks of a model forward and then backward, for one micro batch.
//
// The graph of autograd never spans two blocks: the executor keeps each block's input, asks for the gradients
// block by block, and so decides itself when parameters are gathered, released and reduced, and what is
// computed again.
#pragma once

#include <cstddef>
#include <vector>

#include <ATen/core/Tensor.h>

#include "model/blocks.h"
#include "parallel/progress_board.h"

namespace athanor::trainer {

/// Brings parameters and gradient buffers to the blocks. Calls come in the order of the walk, the same on
/// every rank.
class BlockParameters {
 public:
  virtual ~BlockParameters() = default;
  /// The block will run soon: its weights may be fetched in the background.
  virtual void prefetch(size_t block_idx) = 0;
  /// Returns when the values of all parameters that the block uses are bound.
  virtual void acquire(size_t block_idx) = 0;
  virtual void release(size_t block_idx) = 0;
  /// Binds gradient buffers for all parameters that the block uses.
  virtual void begin_backward(size_t block_idx) = 0;
  /// The block has made its contribution: gradients to which no other block will add go on to their
  /// reduction.
  virtual void end_backward(size_t block_idx) = 0;
};

/// What a block computes again for its backward pass: nothing, what is cheap (model/remake.h), or everything
/// from its input.
enum class Recompute { kNone, kSelective, kFull };

class Executor {
 public:
  struct Options {
    Recompute recompute = Recompute::kNone;
    size_t prefetch_blocks = 1;
    parallel::Progress progress = parallel::Progress();  ///< told which block runs
  };
  /// `model` and `parameters` outlive the executor.
  Executor(model::Model& model, BlockParameters& parameters, const Options& options)
      : model_(model), parameters_(parameters), options_(options) {}

  /// Losses and gradients of one micro batch; the gradients are with `parameters` afterwards.
  void forward_backward(model::PassContext& pass);
  /// Forward only, recording nothing, up to `num_blocks` blocks (0: all); returns the last block's output.
  at::Tensor forward(model::PassContext& pass, size_t num_blocks = 0);

 private:
  struct Kept {
    at::Tensor input;           // a leaf
    model::BlockOutput output;  // with its graph; empty when the block is to be run again
    model::Remake remake;       // what the graph has saved and must be made again first
  };
  bool runs_again(size_t block_idx) const;
  Kept forward_block(size_t block_idx, const at::Tensor& hidden, model::PassContext& pass,
                     at::Tensor& next_hidden);
  at::Tensor backward_block(size_t block_idx, Kept kept, const at::Tensor& hidden_gradient,
                            model::PassContext& pass);
  void enter(size_t block_idx, bool forward);

  model::Model& model_;
  BlockParameters& parameters_;
  Options options_;
};

}  // namespace athanor::trainer
