// The parameters of a model in flat buffers, sharded over the ranks that hold the same weights.
//
// The parameters of a block that the same ranks hold alike share a flat buffer (a *group*): see ReplicaAxes.
// Over all ranks together every element of every gradient ends up in exactly one shard. ZeRO decides who
// keeps which slice of a group:
//   stage 0   every rank keeps and updates everything
//   stage 1   masters and moments are sharded; updated weights are gathered after the step
//   stage 2   the same here: gradients are always reduced block by block to the slice of their owner
//   stage 3   weights are sharded too: gathered before a block runs, released after it
// Gradients of a micro batch are summed over ranks as soon as the last block that contributes to a group has
// run backward, in the fixed order of parallel/ordered_reduction.h, and over micro batches by
// parallel/gradient_tree.h. So the bits do not depend on the stage, nor on the (power-of-two) number of
// ranks. Where bits may depend on the layout, stages 0 and 1 can do with one reduction per step
// (ParameterStoreOptions::reduces_once_per_step).
//
// FP8 training: the matrices of linear layers form groups of their own, quantised once per update
// (trainer/quantised_weights.h). What is gathered is their codes, half the bytes of bf16.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "model/blocks.h"
#include "parallel/communicator.h"
#include "parallel/flat_layout.h"
#include "parallel/gradient_tree.h"
#include "parallel/ordered_reduction.h"
#include "trainer/executor.h"

namespace athanor::trainer {

struct ParameterStoreOptions {
  int zero_stage = 1;
  at::ScalarType compute_dtype = at::kBFloat16;
  at::Device device = at::kCPU;  ///< where weights, masters and gradients live
  /// FP8 training (with compute_dtype bf16): the scales of linear layers' weights.
  std::optional<kernels::Fp8Scale> fp8 = std::nullopt;
  bool gathers_fp8 = true;  ///< FP8 training: quantised weights travel as codes; if not, as exact bf16 values
  /// Stages 0 and 1: every rank adds up the gradients of its micro batches and they are reduced once per
  /// step. Less travels, but whole gradients stay in memory and the order of the sum depends on the layout.
  /// Stages 2 and 3 keep shards of gradients only, and reduce after every micro batch all the same.
  bool reduces_once_per_step = false;
};

/// The ranks that hold a parameter alike and compute parts of its gradient, by kind of parameter. A cut
/// parameter is one of which tensor parallelism leaves every rank a share. All outlive the store.
struct ReplicaAxes {
  parallel::Communicator& dense;      ///< all ranks with other tokens
  parallel::Communicator& dense_cut;  ///< ranks with other micro batches
  parallel::Communicator& expert;     ///< the same two for the ranks that hold the same experts
  parallel::Communicator& expert_cut;

  parallel::Communicator& of(const model::Parameter& parameter) const {
    if (parameter.is_expert) return parameter.is_cut ? expert_cut : expert;
    return parameter.is_cut ? dense_cut : dense;
  }
};

/// What the optimizer updates: this rank's slice of one group.
struct OptimizerSlice {
  const std::vector<model::Parameter*>* parameters;  ///< in the order of the layout
  const parallel::FlatLayout* layout;
  parallel::ElementRange range;  ///< of the group's flat buffer, as held here
  parallel::ElementRange shard;  ///< the part of it that no other rank saves
  at::Tensor master;             ///< fp32
  at::Tensor
      compute;  ///< where the cast of the new master goes; undefined: the master is what is computed with
};

class ParameterStore : public BlockParameters {
 public:
  /// `model` outlives this.
  ParameterStore(model::Model& model, const ReplicaAxes& axes, const ParameterStoreOptions& options);
  ~ParameterStore() override;

  void prefetch(size_t block_idx) override;
  void acquire(size_t block_idx) override;
  void release(size_t block_idx) override;
  void begin_backward(size_t block_idx) override;
  void end_backward(size_t block_idx) override;

  /// Before the backward pass of a micro batch; `is_last` of the step.
  void begin_micro_batch(bool is_last);
  /// Waits for the reductions of this micro batch and takes them into the sums of the step.
  void finish_micro_batch();
  /// The step's gradient of every group, summed over all micro batches and ranks, on this rank's shard of it.
  std::vector<at::Tensor> gradient_shards();
  /// The gradient of every optimizer slice (at stage 0 gathered from the shards). Call after gradient_shards.
  std::vector<at::Tensor> slice_gradients();
  void clear_gradients();

  /// Bytes of the weights in compute precision that this rank keeps between steps.
  int64_t weight_bytes() const;

  /// One per group, in block order.
  const std::vector<OptimizerSlice>& slices() const { return slices_; }
  /// Gives elements [begin, begin + out.size()) of a parameter.
  using Reader = std::function<void(const model::Parameter& parameter, int64_t begin, std::span<float> out)>;
  /// Fills the masters that this rank keeps, piece by piece, casts them and shares them.
  void load(const Reader& reader);
  /// After the masters were set from outside: casts them and shares them.
  void share_masters();
  /// Makes updated weights visible to every rank (after the optimizer has run and cast them).
  void publish();

 private:
  struct Group;
  void add_group(std::vector<model::Parameter*> parameters, const ReplicaAxes& axes);
  void find_contributors();
  void allocate(Group& group);
  void bind_values(Group& group, const at::Tensor& flat);
  at::Tensor computed_slice(const Group& group) const;
  void quantise_weights();
  void gather_weights(Group& group);
  void start_gather(Group& group);
  void finish_gather(Group& group);
  void finish_reduction(Group& group);

  model::Model& model_;
  ParameterStoreOptions options_;
  bool reduces_now_ = true;  ///< the backward pass under way ends in reductions
  std::map<parallel::Communicator*, std::unique_ptr<parallel::OrderedReduction>> reductions_;
  parallel::FlatBufferPool shard_pool_, gradient_pool_, gather_pool_, code_pool_;
  std::vector<std::unique_ptr<Group>> groups_;
  std::vector<std::vector<Group*>> groups_of_block_;
  std::vector<OptimizerSlice> slices_;
};

}  // namespace athanor::trainer
