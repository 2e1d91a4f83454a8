// What the operating system says of a process of this machine.
#pragma once

#include <cstdint>
#include <string_view>

namespace athanor::parallel {

enum class ProcessState : int32_t { kUnknown, kRunning, kSleeping, kInDiskWait, kStopped, kGone };
std::string_view name_of(ProcessState state);

/// kGone: there is no such process, or it has ended and nobody has collected it yet.
ProcessState process_state(int pid);

/// Identifies the namespace in which process ids of this process are valid; 0: unknown.
uint64_t own_pid_namespace();

}  // namespace athanor::parallel
