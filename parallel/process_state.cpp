#include "parallel/process_state.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <sys/stat.h>

#include <fmt/core.h>

namespace athanor::parallel {
namespace {

// The letter behind the program's name, which may itself hold any character.
char state_letter(int pid) {
  std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(fmt::format("/proc/{}/stat", pid).c_str(), "r"),
                                             std::fclose);
  if (!file) return 0;
  std::array<char, 256> text{};
  const size_t size = std::fread(text.data(), 1, text.size() - 1, file.get());
  const char* bracket = size > 0 ? std::strrchr(text.data(), ')') : nullptr;
  return bracket && bracket[1] == ' ' ? bracket[2] : '\0';
}

}  // namespace

std::string_view name_of(ProcessState state) {
  switch (state) {
    case ProcessState::kUnknown:
      return "in an unknown state";
    case ProcessState::kRunning:
      return "running";
    case ProcessState::kSleeping:
      return "sleeping";
    case ProcessState::kInDiskWait:
      return "waiting for a disk or a driver";
    case ProcessState::kStopped:
      return "stopped by a signal (SIGSTOP, or a debugger)";
    case ProcessState::kGone:
      return "gone: its process has ended";
  }
  return "in an unknown state";
}

ProcessState process_state(int pid) {
  if (::kill(pid, 0) != 0 && errno == ESRCH) return ProcessState::kGone;
  switch (state_letter(pid)) {
    case 'R':
      return ProcessState::kRunning;
    case 'S':
    case 'I':
      return ProcessState::kSleeping;
    case 'D':
      return ProcessState::kInDiskWait;
    case 'T':
    case 't':
      return ProcessState::kStopped;
    case 'Z':
    case 'X':
    case 'x':
      return ProcessState::kGone;
    default:
      return ProcessState::kUnknown;
  }
}

uint64_t own_pid_namespace() {
  struct stat facts {};
  return ::stat("/proc/self/ns/pid", &facts) == 0 ? static_cast<uint64_t>(facts.st_ino) : 0;
}

}  // namespace athanor::parallel
