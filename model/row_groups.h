// Which rows belong to which matrix of a stack.
#pragma once

#include <cstdint>
#include <vector>

namespace athanor::model {

/// Rows [offsets[g], offsets[g+1]) belong to matrix g: first those of source 0, then of source 1, and so on.
/// Sources are the ranks of the expert axis. The rows of a source are a micro batch of their own: weight
/// gradients are computed for every source and added in the tree of kernels::ordered_sum, as the reduction
/// over ranks adds them where every rank has all experts.
struct RowGroups {
  int64_t num_sources = 1;
  std::vector<int64_t>
      source_offsets;            ///< [G * num_sources + 1]: the first row of (matrix, source), ascending
  std::vector<int64_t> offsets;  ///< [G + 1]: every num_sources-th of them

  RowGroups() = default;
  RowGroups(std::vector<int64_t> first_rows, int64_t sources)
      : num_sources(sources), source_offsets(std::move(first_rows)) {
    for (size_t i = 0; i < source_offsets.size(); i += static_cast<size_t>(sources))
      offsets.push_back(source_offsets[i]);
  }
  int64_t num_groups() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t num_rows() const { return offsets.back(); }
};

}  // namespace athanor::model
