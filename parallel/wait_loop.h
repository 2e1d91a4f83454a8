// How a rank waits for others without burning the processor they need: it first only yields (a transfer that
// is under way must be driven), then sleeps for a growing while. A wait that sees no progress for `timeout_s`
// has expired. Time in which this process itself did not run (a suspended job) does not count: the others may
// have been stopped as well.
#pragma once

#include <chrono>

namespace athanor::parallel {

class WaitLoop {
 public:
  explicit WaitLoop(double timeout_s) : timeout_s_(timeout_s) { progressed(); }
  /// Something arrived: the deadline and the patience start anew.
  void progressed();
  /// Gives the processor away for a moment. False: nothing has arrived for `timeout_s`.
  [[nodiscard]] bool pause();
  double idle_seconds() const;

 private:
  double timeout_s_;
  std::chrono::steady_clock::time_point last_progress_, last_look_;
};

}  // namespace athanor::parallel
