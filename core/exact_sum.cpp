#include "core/exact_sum.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace athanor::core {
namespace {
constexpr int kNumberLimbs = ExactSum::kNumLimbs - 1;  // the last limb counts non-finite terms
constexpr int kBias = 1074;                            // limb 0, bit 0 is 2^-1074, the smallest subnormal
}  // namespace

void ExactSum::add(double value) {
  if (!std::isfinite(value)) {
    ++limbs_[kNumLimbs - 1];
    return;
  }
  const uint64_t bits = std::bit_cast<uint64_t>(value);
  const int exponent = static_cast<int>((bits >> 52) & 0x7FF);
  const uint64_t mantissa = (bits & ((uint64_t{1} << 52) - 1)) | (exponent ? uint64_t{1} << 52 : 0);
  const int shift = std::max(exponent, 1) - 1;  // position of the mantissa's lowest bit above 2^-1074
  const int limb = shift / 32;
  const unsigned __int128 wide = static_cast<unsigned __int128>(mantissa) << (shift % 32);
  const int64_t sign = (bits >> 63) ? -1 : 1;
  for (int i = 0; i < 3; ++i)
    limbs_[limb + i] += sign * static_cast<int64_t>(static_cast<uint32_t>(wide >> (32 * i)));
  if (++additions_ >= (int64_t{1} << 29)) normalise();
}

void ExactSum::add(const ExactSum& other) {
  for (int i = 0; i < kNumLimbs; ++i) limbs_[i] += other.limbs_[i];
  additions_ += other.additions_ + 1;
  if (additions_ >= (int64_t{1} << 29)) normalise();
}

// Carries so that every limb but the top one lies in [0, 2^32); a negative sum keeps its sign in the top
// limb.
void ExactSum::normalise() {
  for (int i = 0; i + 1 < kNumberLimbs; ++i) {
    const int64_t carry = limbs_[i] >> 32;  // arithmetic shift: rounds towards minus infinity
    limbs_[i] -= carry * (int64_t{1} << 32);
    limbs_[i + 1] += carry;
  }
  additions_ = 1;
}

double ExactSum::value() const {
  if (limbs_[kNumLimbs - 1] != 0) return std::numeric_limits<double>::quiet_NaN();
  ExactSum sum = *this;
  sum.normalise();
  const bool negative = sum.limbs_[kNumberLimbs - 1] < 0;
  if (negative) {
    for (int i = 0; i < kNumberLimbs; ++i) sum.limbs_[i] = -sum.limbs_[i];
    sum.normalise();
  }
  int top = kNumberLimbs - 1;
  while (top > 0 && sum.limbs_[top] == 0) --top;
  // 96 bits around the leading limb hold more than the 53 that survive; what lies below only decides exact
  // ties.
  long double result = 0;
  for (int i = top; i >= std::max(0, top - 3); --i)
    result += std::ldexp(static_cast<long double>(sum.limbs_[i]), 32 * i - kBias);
  return static_cast<double>(negative ? -result : result);
}

std::span<const int64_t, ExactSum::kNumLimbs> ExactSum::limbs() {
  normalise();
  return limbs_;
}

void ExactSum::set_limbs(std::span<const int64_t, kNumLimbs> limbs) {
  std::copy(limbs.begin(), limbs.end(), limbs_.begin());
  normalise();
}

}  // namespace athanor::core
