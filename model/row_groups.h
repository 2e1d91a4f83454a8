// Which rows belong to which matrix of a stack, and how rows that arrive by sender are put by matrix.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "kernels/ops.h"

namespace athanor::model {

/// Rows [offsets[g], offsets[g+1]) belong to matrix g: first those of source 0, then of source 1, and so on.
/// A source is a rank with tokens of its own. Its rows are a micro batch of their own: weight gradients are
/// computed for every source and added in the tree of kernels::ordered_sum, as the reduction over ranks adds
/// them where every rank has all experts. Where the order of sums may depend on the layout, `joined` groups
/// need one product per matrix.
struct RowGroups {
  int64_t num_sources = 1;
  std::vector<int64_t>
      source_offsets;            ///< [G * num_sources + 1]: the first row of (matrix, source), ascending
  std::vector<int64_t> offsets;  ///< [G + 1]: every num_sources-th of them

  RowGroups() = default;
  RowGroups(std::vector<int64_t> first_rows, int64_t sources);
  /// The same rows of every matrix, as if they came from one source.
  RowGroups joined() const { return {offsets, 1}; }
  int64_t num_groups() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t num_rows() const { return offsets.back(); }
};

/// Rows arrive by (sender, group), the groups of a sender in order; this puts them by (group, sender) and
/// back.
class RowOrder {
 public:
  RowOrder() = default;
  /// `counts` [senders * groups]: rows of every group that each sender sends.
  RowOrder(const std::vector<int64_t>& counts, int64_t num_senders, const c10::Device& device);

  /// [groups * senders + 1]: the first row of (group, sender).
  const std::vector<int64_t>& first_rows() const { return first_rows_; }
  at::Tensor by_group(const at::Tensor& rows) const { return reordered(rows, by_group_); }
  at::Tensor by_sender(const at::Tensor& rows) const { return reordered(rows, by_sender_); }

 private:
  void find_order(const std::vector<int64_t>& counts, int64_t num_senders, const c10::Device& device);
  static at::Tensor reordered(const at::Tensor& rows, const std::optional<kernels::Permutation>& order);
  std::vector<int64_t> first_rows_;
  std::optional<kernels::Permutation> by_group_, by_sender_;  // none where both orders are the same
};

}  // namespace athanor::model
