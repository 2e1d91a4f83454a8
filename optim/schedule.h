// The learning rate of every step, as a pure function.
//
// With T = total_steps, W warm-up steps, L = learning_rate, m = min_ratio, step t counted from 0:
//   warm-up, t < W:        L * (t + 1) / W
//   after it, with p = (t - W) / max(1, T - W), at most 1:
//     constant             L
//     linear               L * (m + (1 - m) * (1 - p))
//     cosine               L * (m + (1 - m) * 0.5 * (1 + cos(pi * p)))
//     warmup-stable-decay  L until the last `decay` steps (Hu et al., MiniCPM, arXiv:2404.06395); then, with
//                          q = (t - (T - decay)) / max(1, decay), at most 1:  L * (m + (1 - m) * f(q)), where
//                          f is 1 - q (linear), 0.5 * (1 + cos(pi * q)) (cosine, as in the DeepSeek-V3
//                          report), or 1 - sqrt(q) (Hägele et al., arXiv:2405.18392); exponential is L * m^q
//                          as in MiniCPM.
// Past T the rate stays where the formula ends (p = q = 1).
#pragma once

#include <cstdint>

namespace athanor::optim {

enum class ScheduleKind { kConstant, kLinear, kCosine, kWarmupStableDecay };
enum class DecayShape { kLinear, kCosine, kOneMinusSqrt, kExponential };

struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::kCosine;
  double learning_rate = 3e-4;
  int64_t total_steps = 1;
  int64_t warmup_steps = 0;
  double warmup_ratio = 0;   ///< of total_steps, rounded up; used when warmup_steps is 0
  double min_ratio = 0;      ///< lowest rate after warm-up, as a part of learning_rate
  int64_t decay_steps = 0;   ///< warmup-stable-decay: length of the last phase
  double decay_ratio = 0.1;  ///< of total_steps, rounded up; used when decay_steps is 0
  DecayShape decay_shape = DecayShape::kOneMinusSqrt;  ///< warmup-stable-decay only
};

class Schedule {
 public:
  /// ConfigError naming the numbers: total_steps < 1; a ratio outside [0, 1]; a learning rate that is
  /// negative or not finite; warm-up (and decay) longer than the run; exponential decay to min_ratio 0.
  explicit Schedule(const ScheduleOptions& options);
  /// The rate that step `step` (from 0) uses.
  double learning_rate_at(int64_t step) const;
  int64_t num_warmup_steps() const { return warmup_steps_; }
  int64_t num_decay_steps() const { return decay_steps_; }  ///< 0 but for warmup-stable-decay

 private:
  double decayed(int64_t step) const;
  double final_phase(double q) const;
  ScheduleOptions options_;
  int64_t warmup_steps_ = 0, decay_steps_ = 0;
};

}  // namespace athanor::optim
