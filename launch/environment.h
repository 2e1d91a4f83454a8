// What the process's surroundings say: the only place that reads environment variables and machine facts.
#pragma once

#include <atomic>
#include <csignal>
#include <cstdint>
#include <optional>
#include <string>

namespace athanor::launch {

struct LauncherFacts {
  bool is_under_mpi = false;
  std::optional<int64_t> world_size;  ///< as the launcher says before MPI is started
  int rank = 0;                       ///< the same
  std::string host;                   ///< ATHANOR_HOST: a name for this machine in place of the system's
  std::string visible_devices;        ///< CUDA_VISIBLE_DEVICES
  std::string nccl_library;           ///< ATHANOR_NCCL_LIBRARY: a path; empty: where the loader finds it
};
LauncherFacts launcher_facts();

/// Whether somebody watches the standard output. Open MPI gives its ranks a terminal of their own, so under a
/// launcher it is the launcher's output that counts.
bool is_terminal_output(const LauncherFacts& facts);

/// Compute threads of one rank: `configured`, or the usable cores divided by the ranks on this machine.
int threads_per_rank(int64_t configured, int local_ranks);

/// Makes the allocator keep large blocks: activations come and go in the same sizes every step, and giving
/// them back to the system costs a page fault per 4 KiB.
void keep_large_allocations();

/// What asks a run to stop.
inline constexpr int kStopSignals[] = {SIGTERM, SIGINT, SIGUSR1};

/// Installs handlers for these that store the signal's number here, and lets through what was held back; a
/// second SIGINT or SIGTERM ends the process at once. The reference stays valid.
const std::atomic<int>& stop_signal();

}  // namespace athanor::launch
