#include "launch/environment.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <malloc.h>
#include <sched.h>
#include <system_error>
#include <unistd.h>

#include <fmt/format.h>

#include "core/error.h"
#include "parallel/session.h"

namespace athanor::launch {
namespace {

std::optional<int64_t> integer_variable(const char* name) {
  const char* text = std::getenv(name);
  if (!text || !*text) return std::nullopt;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  if (*end) return std::nullopt;
  return value;
}

std::string text_variable(const char* name) {
  const char* text = std::getenv(name);
  return text ? text : "";
}

std::atomic<int> g_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler stores to it");

void on_signal(int number) {
  if (g_signal.exchange(number) != 0 && number != SIGUSR1) {
    constexpr char kMessage[] = "athanor: stopped at once on the second signal; the last checkpoint stands\n";
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, kMessage, sizeof(kMessage) - 1);
    ::_exit(static_cast<int>(core::ExitCode::kStartAgain));
  }
}

}  // namespace

LauncherFacts launcher_facts() {
  LauncherFacts facts;
  for (const char* name : parallel::kLauncherVariables) facts.is_under_mpi |= std::getenv(name) != nullptr;
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS"})
    if (!facts.world_size && facts.is_under_mpi) facts.world_size = integer_variable(name);
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"})
    if (const auto rank = integer_variable(name)) {
      facts.rank = static_cast<int>(*rank);
      break;
    }
  if (!facts.is_under_mpi) facts.world_size = 1;
  facts.host = text_variable("ATHANOR_HOST");
  facts.visible_devices = text_variable("CUDA_VISIBLE_DEVICES");
  facts.nccl_library = text_variable("ATHANOR_NCCL_LIBRARY");
  return facts;
}

bool is_terminal_output(const LauncherFacts& facts) {
  if (::isatty(STDOUT_FILENO) == 0) return false;
  if (!facts.is_under_mpi) return true;
  std::error_code error;
  const auto output =
      std::filesystem::read_symlink(fmt::format("/proc/{}/fd/1", ::getppid()), error).string();
  return !error && (output.starts_with("/dev/pts/") || output.starts_with("/dev/tty"));
}

int threads_per_rank(int64_t configured, int local_ranks) {
  if (configured > 0) return static_cast<int>(configured);
  cpu_set_t cores;
  const int usable = ::sched_getaffinity(0, sizeof(cores), &cores) == 0 ? CPU_COUNT(&cores) : 1;
  return std::max(1, usable / std::max(1, local_ranks));
}

void keep_large_allocations() {
  ::mallopt(M_MMAP_MAX, 0);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
  ::mallopt(M_TOP_PAD, 64 << 20);
}

const std::atomic<int>& stop_signal() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int number : kStopSignals) {
    ::sigaction(number, &action, nullptr);
    ::sigaddset(&signals, number);
  }
  ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  return g_signal;
}

}  // namespace athanor::launch
