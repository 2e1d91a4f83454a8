// Rows on their way to the experts of a layer and back, when ranks share the experts out.
//
// Rank i of the expert axis holds experts [i * E/R, (i + 1) * E/R). Every rank has permuted its own rows by
// expert, which is also by destination. A dispatch is made once per micro batch and layer: the ranks tell
// each other how many rows each expert gets, and from then on it moves rows of the sender's order into the
// order of the grouped products (expert here, source rank, row of the source) and back. It serves the
// forward pass and both backward passes: the backward of each direction is the other one.
//
// An expert, or a rank, that receives no row is an ordinary case: every rank enters every exchange. One rank
// alone runs the same code over a SelfCommunicator; then nothing is copied.
#pragma once

#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "model/row_groups.h"
#include "parallel/communicator.h"

namespace athanor::model {

/// What travels, per element. Rows are rounded to it whatever the number of ranks, a rank's own rows
/// included, so that the layout does not show in the bits.
enum class Payload {
  kCompute,  ///< the compute dtype: nothing is rounded
  kBf16,
  kFp32,
  kFp8,  ///< block-scaled E4M3 (kernels/fp8.h) on the way to the experts, bf16 on the way home, as
         ///< DeepSeek-V3
};

enum class RowKind { kActivations, kGradients };

class Dispatch {
 public:
  /// `offsets` [E + 1]: this rank's rows of every expert (Permutation::offsets). `options` say on which
  /// device rows are. Collective over `comm`, which outlives this. InternalError when E is not a multiple of
  /// the ranks.
  Dispatch(const std::vector<int64_t>& offsets, const c10::Device& device, parallel::Communicator& comm,
           Payload payload);

  /// The rows that the experts here work on, R in all.
  const RowGroups& groups() const { return groups_; }
  /// [P, D] in this rank's order -> [R, D] in the order of `groups`. Collective.
  at::Tensor to_experts(const at::Tensor& x_PD, RowKind kind = RowKind::kActivations) const;
  /// The way back. Collective.
  at::Tensor to_home(const at::Tensor& y_RD) const;

 private:
  at::Tensor to_experts_in_fp8(const at::Tensor& x_PD, RowKind kind) const;
  at::Tensor move(const at::Tensor& rows, const std::vector<int64_t>& in_splits,
                  const std::vector<int64_t>& out_splits) const;

  parallel::Communicator& comm_;
  Payload payload_;
  std::vector<int64_t> home_splits_, here_splits_;  ///< rows to every rank, and from every rank
  RowOrder order_;
  RowGroups groups_;
};

/// Differentiable Dispatch::to_experts and to_home.
at::Tensor send_to_experts(const at::Tensor& x_PD, const std::shared_ptr<const Dispatch>& dispatch);
at::Tensor send_home(const at::Tensor& y_RD, const std::shared_ptr<const Dispatch>& dispatch);

}  // namespace athanor::model
