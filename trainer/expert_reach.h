// How many machines a token's experts can lie on, which is what bounds the traffic between machines.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/spec.h"
#include "parallel/communicator.h"

namespace athanor::trainer {

struct ExpertReach {
  int64_t num_hosts = 1;         ///< that hold the experts of one layer
  int64_t hosts_per_token = 1;   ///< the most that one token's choices can touch
  bool groups_are_local = true;  ///< no group of experts (n_group) lies on several machines
};

/// `host_of_rank`: a number per machine, for every rank of the expert axis in order. Groups of experts bound
/// the reach of a token when each lies on one machine: then topk_group is the bound.
ExpertReach expert_reach(const model::ModelSpec& spec, const std::vector<int64_t>& host_of_rank);

/// The machines of the ranks of an axis, as numbers. Collective over `comm`.
std::vector<int64_t> hosts_of(parallel::Communicator& comm, const std::string& host);

/// One sentence for the log.
std::string describe(const ExpertReach& reach, const model::ModelSpec& spec);

}  // namespace athanor::trainer
