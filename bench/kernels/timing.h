// The best of several runs of one call: what a kernel takes when nothing disturbs it.
#pragma once

#include <algorithm>
#include <chrono>

namespace athanor::bench {

/// Runs `body` once to warm up, then until about 0.4 s are spent (three times at least); the shortest run.
template <typename Body>
double best_seconds(Body body) {
  using Clock = std::chrono::steady_clock;
  constexpr double kBudgetSeconds = 0.4;
  constexpr int kMinRuns = 3;
  double best = 1e30, total = 0;
  body();
  for (int run = 0; run < kMinRuns || total < kBudgetSeconds; ++run) {
    const auto start = Clock::now();
    body();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::min(best, seconds);
    total += seconds;
  }
  return best;
}

}  // namespace athanor::bench
