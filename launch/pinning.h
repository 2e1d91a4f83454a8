// Which processors each rank of a machine computes on: whole cores, one NUMA node where possible, so that a
// rank's threads and memory stay together and ranks do not push each other around.
#pragma once

#include <vector>

#include "launch/cpu_topology.h"

namespace athanor::launch {

/// Cuts `cpus` (as read_topology sorts them) into one share per local rank. Every core, with all its threads,
/// goes to one rank; ranks are spread over the nodes in proportion to their cores, in order, and only when
/// there are fewer ranks than nodes does a rank get cores of several. Empty when there is nothing to cut: a
/// single rank, or more ranks than cores.
std::vector<std::vector<int>> share_cpus(const std::vector<Cpu>& cpus, int num_ranks);

/// What one rank does.
struct Pinning {
  std::vector<int> cpus;  ///< empty: stay where it is
  int num_threads = 1;    ///< compute threads that its cores can feed
};

/// `allowed_of_rank` are the affinity masks of all ranks of this machine, by local rank. When they differ,
/// somebody (mpirun, Slurm) has placed the ranks already, and each keeps its own.
Pinning plan_pinning(const std::vector<Cpu>& cpus, const std::vector<std::vector<int>>& allowed_of_rank,
                     int local_rank, bool may_pin);

}  // namespace athanor::launch
