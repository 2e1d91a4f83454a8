#include "trainer/expert_reach.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <set>

#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include "core/digest.h"

namespace athanor::trainer {

ExpertReach expert_reach(const model::ModelSpec& spec, const std::vector<int64_t>& host_of_rank) {
  const auto num_ranks = static_cast<int64_t>(host_of_rank.size());
  const int64_t experts_per_rank = spec.n_routed_experts / num_ranks;
  const int64_t experts_per_group = spec.n_routed_experts / spec.n_group;
  std::vector<int64_t> hosts_of_group;
  for (int64_t group = 0; group < spec.n_group; ++group) {
    const int64_t first = group * experts_per_group, last = first + experts_per_group - 1;
    const std::set<int64_t> hosts(host_of_rank.begin() + first / experts_per_rank,
                                  host_of_rank.begin() + last / experts_per_rank + 1);
    hosts_of_group.push_back(static_cast<int64_t>(hosts.size()));
  }
  std::sort(hosts_of_group.begin(), hosts_of_group.end(), std::greater<>());
  ExpertReach reach;
  reach.num_hosts = static_cast<int64_t>(std::set<int64_t>(host_of_rank.begin(), host_of_rank.end()).size());
  reach.groups_are_local = hosts_of_group.front() == 1;
  const int64_t of_groups =
      std::accumulate(hosts_of_group.begin(), hosts_of_group.begin() + spec.topk_group, int64_t{0});
  reach.hosts_per_token = std::min({reach.num_hosts, of_groups, spec.num_experts_per_tok});
  return reach;
}

std::vector<int64_t> hosts_of(parallel::Communicator& comm, const std::string& host) {
  const std::string digest = core::digest_hex(std::string_view(host));
  const auto number = static_cast<int64_t>(std::stoull(digest.substr(0, 15), nullptr, 16));
  const at::Tensor mine = at::tensor({number}, at::kLong), all = at::empty({comm.size()}, at::kLong);
  comm.all_gather(all, mine).wait();
  return {all.const_data_ptr<int64_t>(), all.const_data_ptr<int64_t>() + all.numel()};
}

std::string describe(const ExpertReach& reach, const model::ModelSpec& spec) {
  if (reach.num_hosts == 1) return "all on one machine";
  std::string text =
      fmt::format("on {} machines, a token can reach {} of them", reach.num_hosts, reach.hosts_per_token);
  if (reach.groups_are_local || reach.hosts_per_token <= spec.topk_group) return text;
  return text +
         fmt::format(
             ": model.n_group {} groups of experts do not coincide with machines, so model.topk_group {} "
             "does not bound it; make n_group a multiple of {}",
             spec.n_group, spec.topk_group, reach.num_hosts);
}

}  // namespace athanor::trainer
