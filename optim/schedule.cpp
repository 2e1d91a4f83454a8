#include "optim/schedule.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace athanor::optim {
namespace {

constexpr double kPi = 3.14159265358979323846;

void check_ratio(const char* name, double ratio) {
  if (!(ratio >= 0 && ratio <= 1)) throw core::ConfigError("schedule.{} is {}: expected 0 to 1", name, ratio);
}

// A ratio such as 0.1 is not exact in binary: 0.1 * 30 must be 3 steps, not 4.
int64_t steps_of_ratio(double ratio, int64_t total_steps) {
  return static_cast<int64_t>(std::ceil(ratio * static_cast<double>(total_steps) * (1 - 1e-12)));
}

double progress(int64_t step, int64_t begin, int64_t end) {
  const double length = static_cast<double>(std::max<int64_t>(1, end - begin));
  return std::min(1.0, static_cast<double>(step - begin) / length);
}

}  // namespace

Schedule::Schedule(const ScheduleOptions& options) : options_(options) {
  if (options.total_steps < 1)
    throw core::ConfigError("a schedule over {} steps: at least 1", options.total_steps);
  if (!(options.learning_rate >= 0 && std::isfinite(options.learning_rate)))
    throw core::ConfigError("the learning rate is {}: expected a number of 0 or more", options.learning_rate);
  if (options.warmup_steps < 0 || options.decay_steps < 0)
    throw core::ConfigError("schedule: {} warm-up steps, {} decay steps: expected 0 or more",
                            options.warmup_steps, options.decay_steps);
  check_ratio("warmup_ratio", options.warmup_ratio);
  check_ratio("min_ratio", options.min_ratio);
  check_ratio("decay_ratio", options.decay_ratio);
  const int64_t total = options.total_steps;
  const bool has_final_phase = options.kind == ScheduleKind::kWarmupStableDecay;
  warmup_steps_ = options.warmup_steps ? options.warmup_steps : steps_of_ratio(options.warmup_ratio, total);
  if (has_final_phase)
    decay_steps_ = options.decay_steps ? options.decay_steps : steps_of_ratio(options.decay_ratio, total);
  const bool both_rounded_up = !options.decay_steps && warmup_steps_ + decay_steps_ == total + 1;
  if (both_rounded_up && decay_steps_ > 0) --decay_steps_;
  if (warmup_steps_ > total || decay_steps_ > total - warmup_steps_)
    throw core::ConfigError(
        "schedule: {} warm-up and {} decay steps do not fit into a run of {} steps; shorten "
        "schedule.warmup_steps "
        "(warmup_ratio, decay_ratio) or lengthen the run (training.max_steps, max_tokens or max_epochs)",
        warmup_steps_, decay_steps_, total);
  if (has_final_phase && options.decay_shape == DecayShape::kExponential && options.min_ratio == 0)
    throw core::ConfigError("exponential decay never reaches schedule.min_ratio 0: set it to 0.01, say");
}

double Schedule::learning_rate_at(int64_t step) const {
  ATHANOR_CHECK(step >= 0, "the learning rate of step {}", step);
  if (step < warmup_steps_)
    return options_.learning_rate * static_cast<double>(step + 1) / static_cast<double>(warmup_steps_);
  return decayed(step);
}

double Schedule::decayed(int64_t step) const {
  const double rate = options_.learning_rate, floor = options_.min_ratio;
  const double p = progress(step, warmup_steps_, options_.total_steps);
  switch (options_.kind) {
    case ScheduleKind::kConstant:
      return rate;
    case ScheduleKind::kLinear:
      return rate * (floor + (1 - floor) * (1 - p));
    case ScheduleKind::kCosine:
      return rate * (floor + (1 - floor) * 0.5 * (1 + std::cos(kPi * p)));
    case ScheduleKind::kWarmupStableDecay:
      break;
  }
  const int64_t decay_begin = options_.total_steps - decay_steps_;
  if (step < decay_begin || decay_steps_ == 0) return rate;
  return rate * final_phase(progress(step, decay_begin, options_.total_steps));
}

double Schedule::final_phase(double q) const {
  const double floor = options_.min_ratio;
  switch (options_.decay_shape) {
    case DecayShape::kLinear:
      return floor + (1 - floor) * (1 - q);
    case DecayShape::kCosine:
      return floor + (1 - floor) * 0.5 * (1 + std::cos(kPi * q));
    case DecayShape::kOneMinusSqrt:
      return floor + (1 - floor) * (1 - std::sqrt(q));
    case DecayShape::kExponential:
      return std::pow(floor, q);
  }
  throw core::InternalError("decay shape {}", static_cast<int>(options_.decay_shape));
}

}  // namespace athanor::optim
