#include "launch/pinning.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

namespace athanor::launch {
namespace {

using Core = std::vector<int>;  // the ids of its threads

// The cores of every node, both in order.
std::vector<std::vector<Core>> cores_by_node(const std::vector<Cpu>& cpus) {
  std::map<int, std::map<int, Core>> found;
  for (const Cpu& cpu : cpus) found[cpu.node][cpu.core].push_back(cpu.id);
  std::vector<std::vector<Core>> nodes;
  for (const auto& [node, cores] : found) {
    nodes.emplace_back();
    for (const auto& [core, ids] : cores) nodes.back().push_back(ids);
  }
  return nodes;
}

int count_cores(const std::vector<std::vector<Core>>& nodes) {
  return std::accumulate(nodes.begin(), nodes.end(), 0,
                         [](int sum, const auto& cores) { return sum + static_cast<int>(cores.size()); });
}

// Ranks of each node by largest remainder: never more than it has cores.
std::vector<int> ranks_of_nodes(const std::vector<std::vector<Core>>& nodes, int num_ranks) {
  const int num_cores = count_cores(nodes);
  std::vector<int> ranks(nodes.size()), order(nodes.size());
  std::iota(order.begin(), order.end(), 0);
  const auto product = [&](int node) { return static_cast<int>(nodes[node].size()) * num_ranks; };
  for (size_t node = 0; node < nodes.size(); ++node)
    ranks[node] = product(static_cast<int>(node)) / num_cores;
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return product(a) % num_cores > product(b) % num_cores; });
  const int num_left = num_ranks - std::accumulate(ranks.begin(), ranks.end(), 0);
  for (int i = 0; i < num_left; ++i) ++ranks[order[i]];
  return ranks;
}

// Consecutive cores, as evenly as they go.
void deal(const std::vector<Core>& cores, int num_ranks, std::vector<std::vector<int>>& shares) {
  const int num_cores = static_cast<int>(cores.size());
  for (int r = 0; r < num_ranks; ++r) {
    std::vector<int> share;
    for (int core = r * num_cores / num_ranks; core < (r + 1) * num_cores / num_ranks; ++core)
      share.insert(share.end(), cores[core].begin(), cores[core].end());
    std::sort(share.begin(), share.end());
    shares.push_back(std::move(share));
  }
}

int count_cores_of(const std::vector<Cpu>& cpus, const std::vector<int>& ids) {
  std::set<int> cores;
  for (const Cpu& cpu : cpus)
    if (std::find(ids.begin(), ids.end(), cpu.id) != ids.end()) cores.insert(cpu.core);
  return static_cast<int>(cores.size());
}

}  // namespace

std::vector<std::vector<int>> share_cpus(const std::vector<Cpu>& cpus, int num_ranks) {
  const auto nodes = cores_by_node(cpus);
  std::vector<std::vector<int>> shares;
  if (num_ranks < 2 || num_ranks > count_cores(nodes)) return shares;
  if (num_ranks < static_cast<int>(nodes.size())) {
    std::vector<Core> all;
    for (const auto& cores : nodes) all.insert(all.end(), cores.begin(), cores.end());
    deal(all, num_ranks, shares);
    return shares;
  }
  const std::vector<int> ranks = ranks_of_nodes(nodes, num_ranks);
  for (size_t node = 0; node < nodes.size(); ++node) deal(nodes[node], ranks[node], shares);
  return shares;
}

Pinning plan_pinning(const std::vector<Cpu>& cpus, const std::vector<std::vector<int>>& allowed_of_rank,
                     int local_rank, bool may_pin) {
  const std::vector<int>& own = allowed_of_rank.at(local_rank);
  const int num_ranks = static_cast<int>(allowed_of_rank.size());
  const bool is_shared = std::all_of(allowed_of_rank.begin(), allowed_of_rank.end(),
                                     [&](const std::vector<int>& mask) { return mask == own; });
  const int num_own_cores = std::max(1, count_cores_of(cpus, own));
  if (!is_shared) return {{}, num_own_cores};
  const auto shares = share_cpus(cpus, num_ranks);
  if (shares.empty() || !may_pin) return {{}, std::max(1, num_own_cores / num_ranks)};
  return {shares[local_rank], std::max(1, count_cores_of(cpus, shares[local_rank]))};
}

}  // namespace athanor::launch
