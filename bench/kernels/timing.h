// The best of several runs of one call: what a kernel takes when nothing disturbs it.
#pragma once

#include <algorithm>
#include <ctime>

namespace athanor::bench {

inline double now_seconds(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

/// Runs `body` once to warm up, then until about budget_seconds are spent (three times at least); the
/// shortest run.
template <typename Body>
double best_seconds(Body body, double budget_seconds = 0.4, clockid_t clock = CLOCK_MONOTONIC) {
  constexpr int kMinRuns = 3;
  double best = 1e30, total = 0;
  body();
  for (int run = 0; run < kMinRuns || total < budget_seconds; ++run) {
    const double start = now_seconds(clock);
    body();
    const double seconds = now_seconds(clock) - start;
    best = std::min(best, seconds);
    total += seconds;
  }
  return best;
}

/// The same in CPU time of this thread: other programs disturb it less.
template <typename Body>
double best_cpu_seconds(Body body, double budget_seconds = 0.4) {
  return best_seconds(body, budget_seconds, CLOCK_THREAD_CPUTIME_ID);
}

}  // namespace athanor::bench
