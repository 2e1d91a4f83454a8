#include "launch/file_outputs.h"

#include <csignal>
#include <cstdio>
#include <cstring>
#include <thread>

#include "core/error.h"
#include "core/output_files.h"

namespace athanor::launch {
namespace {

void die_by(int signal, StopReport report) {
  core::discard_unfinished_outputs();
  if (report == StopReport::kSaid || (report == StopReport::kOnDemand && signal == SIGUSR1))
    std::fprintf(stderr, "athanor: error: stopped by SIG%s; unfinished output was removed\n",
                 ::sigabbrev_np(signal));
  if (signal == SIGUSR1) signal = SIGTERM;
  std::signal(signal, SIG_DFL);
  sigset_t one;
  ::sigemptyset(&one);
  ::sigaddset(&one, signal);
  ::pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  std::raise(signal);
}

sigset_t signals_that_kill() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) {
    struct sigaction action {};
    if (::sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_DFL)
      ::sigaddset(&signals, number);
  }
  return signals;
}

}  // namespace

void check_outputs(const std::vector<std::string>& inputs, const std::vector<std::string>& outputs) {
  const std::string problem = core::find_overwritten(inputs, outputs);
  if (!problem.empty()) throw core::UsageError(problem);
  for (const std::string& output : outputs)
    if (!output.empty() && output != "-") core::check_replaceable(output);
}

// Every thread inherits the blocked signals, so that the one that waits for them gets them and may do what no
// handler may.
void clean_up_on_signals(StopReport report) {
  const sigset_t signals = signals_that_kill();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread([signals, report] {
    int number = 0;
    if (::sigwait(&signals, &number) == 0) die_by(number, report);
  }).detach();
}

}  // namespace athanor::launch
