#include "observe/step_timer.h"

#include <algorithm>
#include <cmath>

namespace athanor::observe {

void StepTimer::add(double seconds) {
  if (recent_.size() < window_) {
    recent_.push_back(seconds);
    return;
  }
  recent_[next_] = seconds;
  next_ = (next_ + 1) % window_;
}

double StepTimer::percentile(double p) const {
  if (recent_.empty()) return 0;
  const double rank = std::ceil(p * static_cast<double>(recent_.size())) - 1;
  const auto index = static_cast<size_t>(std::clamp(rank, 0.0, static_cast<double>(recent_.size() - 1)));
  std::vector<double> sorted = recent_;
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(index), sorted.end());
  return sorted[index];
}

}  // namespace athanor::observe
