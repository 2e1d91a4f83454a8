// Step times of the recent past, for medians and tails.
#pragma once

#include <cstddef>
#include <vector>

namespace athanor::observe {

class StepTimer {
 public:
  /// Keeps the last `window` times.
  explicit StepTimer(size_t window = 1024) : window_(window) {}

  void add(double seconds);
  size_t count() const { return recent_.size(); }
  /// The time that a share `p` (0 to 1) of the recent steps does not exceed (nearest rank); 0 before the
  /// first step.
  double percentile(double p) const;
  double p50() const { return percentile(0.50); }
  double p99() const { return percentile(0.99); }

 private:
  size_t window_;
  size_t next_ = 0;
  std::vector<double> recent_;
};

}  // namespace athanor::observe
