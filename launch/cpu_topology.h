// The processors that this process may use, as the kernel describes them.
#pragma once

#include <string>
#include <vector>

namespace athanor::launch {

struct Cpu {
  int id = 0;
  int core = 0;  ///< the lowest id among the threads of its core
  int node = 0;  ///< NUMA node
  bool operator==(const Cpu&) const = default;
};

/// "0-3,8,10-11" as the kernel writes lists; empty for text that is none.
std::vector<int> parse_cpu_list(const std::string& text);

/// Describes the processors `allowed` (ids), sorted by node, core and id. `root` is /sys/devices/system. What
/// cannot be read counts as one node of single-threaded cores.
std::vector<Cpu> read_topology(const std::string& root, const std::vector<int>& allowed);

/// The ids in this process's affinity mask, ascending.
std::vector<int> allowed_cpus();
/// Restricts the calling thread, and every thread it starts from now on; false when the system refuses.
bool restrict_to(const std::vector<int>& cpus);

}  // namespace athanor::launch
