#include "data/loader/source_mix.h"

#include <cmath>
#include <numeric>

#include "core/error.h"

namespace athanor::data {
namespace {

uint64_t left_count(uint64_t count, uint64_t left_share) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(count) * left_share) >> 63);
}

}  // namespace

SourceMix::SourceMix(std::span<const double> weights) : num_sources_(weights.size()) {
  ATHANOR_CHECK(!weights.empty(), "a mixture of no sources");
  for (const double weight : weights)
    if (!(std::isfinite(weight) && weight > 0))
      throw core::ConfigError(
          "data source weight {}: expected a number above 0; leave out sources that are not wanted", weight);
  root_ = build(weights, 0);
}

int SourceMix::build(std::span<const double> weights, size_t first) {
  if (weights.size() == 1) return -1 - static_cast<int>(first);
  const size_t middle = weights.size() / 2;
  const auto left = weights.first(middle), right = weights.subspan(middle);
  const double left_weight = std::accumulate(left.begin(), left.end(), 0.0);
  const double right_weight = std::accumulate(right.begin(), right.end(), 0.0);
  Node node;
  node.left_share = static_cast<uint64_t>(std::ldexp(left_weight / (left_weight + right_weight), 63));
  node.left = build(left, first);
  node.right = build(right, first + middle);
  nodes_.push_back(node);
  return static_cast<int>(nodes_.size()) - 1;
}

SourcePlace SourceMix::place(uint64_t index) const {
  ATHANOR_CHECK(index < uint64_t{1} << 63, "sequence {}", index);
  int at = root_;
  while (at >= 0) {
    const Node& node = nodes_[static_cast<size_t>(at)];
    const uint64_t before = left_count(index, node.left_share);
    const bool goes_left = left_count(index + 1, node.left_share) > before;
    at = goes_left ? node.left : node.right;
    index = goes_left ? before : index - before;
  }
  return {static_cast<size_t>(-1 - at), index};
}

std::vector<uint64_t> SourceMix::counts(uint64_t count) const {
  std::vector<uint64_t> counts(num_sources_);
  add_counts(root_, count, counts);
  return counts;
}

void SourceMix::add_counts(int at, uint64_t count, std::vector<uint64_t>& counts) const {
  if (at < 0) {
    counts[static_cast<size_t>(-1 - at)] = count;
    return;
  }
  const Node& node = nodes_[static_cast<size_t>(at)];
  const uint64_t left = left_count(count, node.left_share);
  add_counts(node.left, left, counts);
  add_counts(node.right, count - left, counts);
}

}  // namespace athanor::data
