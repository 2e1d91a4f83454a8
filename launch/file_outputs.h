// What every command that writes files does first.
#pragma once

#include <string>
#include <vector>

namespace athanor::launch {

/// Throws UsageError when an output is the same file as an input or another output, CannotWriteError when one
/// is there and is no regular file. `-` and empty names stand for no file.
void check_outputs(const std::vector<std::string>& inputs, const std::vector<std::string>& outputs);

/// Who says that a process was stopped.
enum class StopReport {
  kSaid,      ///< the process itself
  kOnDemand,  ///< the process, when SIGUSR1 asks for it; else the launcher of its job, which ends ranks by
              ///< SIGTERM
  kSilent,    ///< another process
};

/// From now on SIGINT, SIGTERM, SIGHUP and SIGUSR1 (with which scripts/mpirun.sh passes on the wish to stop)
/// remove what is unfinished and say so; the process still dies by the signal, of SIGUSR1 as of SIGTERM. One
/// that is ignored (nohup) stays so. Call it before the process has threads.
void clean_up_on_signals(StopReport report = StopReport::kSaid);

}  // namespace athanor::launch
