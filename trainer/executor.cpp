#include "trainer/executor.h"

#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include "model/autograd.h"

namespace athanor::trainer {
namespace {

using model::BlockOutput;
using model::PassContext;

// The embedding takes ids, not activations; this leaf lets the walk back reach its table.
at::Tensor make_anchor(at::Device device) {
  return model::as_leaf(at::zeros({1}, at::TensorOptions().dtype(at::kFloat).device(device)));
}

// Restores a flag of the pass when a block's call is over.
class Flag {
 public:
  Flag(bool& flag, bool value) : flag_(flag), before_(flag) { flag_ = value; }
  ~Flag() { flag_ = before_; }
  Flag(const Flag&) = delete;
  Flag& operator=(const Flag&) = delete;

 private:
  bool& flag_;
  bool before_;
};

}  // namespace

bool Executor::runs_again(size_t block_idx) const {
  return options_.recompute == Recompute::kFull || model_.blocks[block_idx]->is_head();
}

void Executor::enter(size_t block_idx, bool forward) {
  options_.progress.enter(forward ? parallel::Phase::kForward : parallel::Phase::kBackward,
                          static_cast<int>(block_idx));
  for (size_t ahead = 1; ahead <= options_.prefetch_blocks; ++ahead) {
    if (forward && block_idx + ahead < model_.blocks.size()) parameters_.prefetch(block_idx + ahead);
    if (!forward && block_idx >= ahead) parameters_.prefetch(block_idx - ahead);
  }
  parameters_.acquire(block_idx);
}

at::Tensor Executor::forward(PassContext& pass, size_t num_blocks) {
  c10::AutoGradMode recording(false);
  at::Tensor hidden = make_anchor(pass.batch.ids_T.device());
  for (size_t i = 0; i < (num_blocks ? num_blocks : model_.blocks.size()); ++i) {
    enter(i, /*forward=*/true);
    hidden = model_.blocks[i]->forward(hidden, pass).hidden_tD;
    parameters_.release(i);
  }
  return hidden;
}

void Executor::forward_backward(PassContext& pass) {
  std::vector<Kept> kept(model_.blocks.size());
  at::Tensor hidden = make_anchor(pass.batch.ids_T.device());
  for (size_t i = 0; i < model_.blocks.size(); ++i) kept[i] = forward_block(i, hidden, pass, hidden);
  at::Tensor gradient;
  for (size_t i = model_.blocks.size(); i-- > 0;)
    gradient = backward_block(i, std::move(kept[i]), gradient, pass);
  options_.progress.enter(parallel::Phase::kUpdate);
}

Executor::Kept Executor::forward_block(size_t block_idx, const at::Tensor& hidden, PassContext& pass,
                                       at::Tensor& next_hidden) {
  model::Block& block = *model_.blocks[block_idx];
  Kept kept{model::as_leaf(hidden), {}, {}};
  if (block.is_head() && block_idx + 1 == model_.blocks.size()) return kept;  // nobody takes its output

  enter(block_idx, /*forward=*/true);
  const bool again = runs_again(block_idx);
  c10::AutoGradMode recording(!again);
  Flag loss(pass.takes_loss, !block.is_head());
  pass.remake = again || options_.recompute != Recompute::kSelective ? nullptr : &kept.remake;
  BlockOutput output = block.forward(kept.input, pass);
  pass.remake = nullptr;
  kept.remake.discard();
  parameters_.release(block_idx);
  next_hidden = output.hidden_tD.detach();
  if (!again) kept.output = std::move(output);
  return kept;
}

at::Tensor Executor::backward_block(size_t block_idx, Kept kept, const at::Tensor& hidden_gradient,
                                    PassContext& pass) {
  model::Block& block = *model_.blocks[block_idx];
  enter(block_idx, /*forward=*/false);
  parameters_.begin_backward(block_idx);
  if (runs_again(block_idx)) {
    c10::AutoGradMode recording(true);
    // A head is not counted on the way forward, every other block is.
    Flag statistics(pass.keeps_statistics, block.is_head());
    kept.output = block.forward(kept.input, pass);
  }
  kept.remake.restore();
  const at::Tensor one = kept.output.loss.defined() ? at::ones_like(kept.output.loss.detach()) : at::Tensor();
  const auto gradients =
      model::backpropagate({kept.output.hidden_tD, kept.output.loss}, {hidden_gradient, one}, {kept.input});
  parameters_.release(block_idx);
  parameters_.end_backward(block_idx);
  return gradients.front();
}

}  // namespace athanor::trainer
