// An exact sum of doubles: the result does not depend on the order of the terms or on who added them, so a
// global norm has the same bits on every layout. A fixed-point number wide enough for every finite double
// (Kulisch, 1976), kept in 64-bit limbs of 32 bits each, so that limbs may be added across ranks as plain
// integers.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace athanor::core {

class ExactSum {
 public:
  static constexpr int kNumLimbs = 68;

  /// Adds a finite value; NaN and infinities are remembered and make `value()` NaN.
  void add(double value);
  /// Adds another sum. Up to 2^30 additions in all before `normalise` is needed; `add` normalises by itself.
  void add(const ExactSum& other);
  /// The sum, rounded once to the nearest double (ties may fall either way, but always the same way).
  double value() const;

  /// The limbs as integers, for an integer all-reduce (sum) across ranks: limb 0 is the least significant;
  /// the last counts non-finite terms. Normalised before it is handed out.
  std::span<const int64_t, kNumLimbs> limbs();
  void set_limbs(std::span<const int64_t, kNumLimbs> limbs);

 private:
  void normalise();
  std::array<int64_t, kNumLimbs> limbs_{};
  int64_t additions_ = 0;
};

}  // namespace athanor::core
