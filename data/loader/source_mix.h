// Which source a sequence comes from, as a pure function of its number.
//
// The sources are the leaves of a binary tree. At a node whose left side has the share p, the first i
// sequences hold floor(i·p) of the left side: every node keeps its share to within one sequence at all times,
// so after any number of sequences a source is off its share by less than the depth of its leaf, and exact in
// the limit.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace athanor::data {

/// A sequence's source, and its number among the sequences of that source.
struct SourcePlace {
  size_t source_idx = 0;
  uint64_t index = 0;
};

class SourceMix {
 public:
  /// Weights need not sum to one. Throws ConfigError unless all are finite and positive.
  explicit SourceMix(std::span<const double> weights);

  /// Requires index < 2^63. Costs the depth of the tree.
  SourcePlace place(uint64_t index) const;
  /// Sequences of each source among the first `count`.
  std::vector<uint64_t> counts(uint64_t count) const;

 private:
  struct Node {
    uint64_t left_share = 0;    ///< of 2^63
    int left = -1, right = -1;  ///< nodes; negative: source -1 - value
  };

  int build(std::span<const double> weights, size_t first);
  void add_counts(int node, uint64_t count, std::vector<uint64_t>& counts) const;

  size_t num_sources_;
  std::vector<Node> nodes_;
  int root_ = 0;
};

}  // namespace athanor::data
