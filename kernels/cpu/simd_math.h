// Elementary functions on sixteen lanes. Include only where simd.h may be included.
#pragma once

#include "kernels/cpu/simd.h"

namespace athanor::kernels::cpu::ATHANOR_ISA {

/// The nearest whole number, ties to even; |x| < 2^22.
ATHANOR_INLINE F32x16 round_to_whole(F32x16 x) {
  const F32x16 magic = set1(12582912.0f);  // 1.5 * 2^23: adding it leaves no bits for a fraction
  return sub(add(x, magic), magic);
}

/// e^x within 1 ulp where the result is normal; 0 below, infinity above, NaN for NaN.
ATHANOR_INLINE F32x16 exp(F32x16 x) {
  // Below -104 everything rounds to zero and above 89 everything overflows. The order of the arguments keeps
  // NaN.
  const F32x16 clamped = max(set1(-104.0f), min(set1(89.0f), x));
  const F32x16 n = round_to_whole(mul(clamped, set1(1.44269504f)));
  // r = x - n ln 2 in two steps (Cody and Waite), |r| <= ln 2 / 2.
  F32x16 r = fma(n, set1(-0.693145752f), clamped);
  r = fma(n, set1(-1.42860677e-6f), r);
  // e^r = 1 + r + r^2 (1/2 + r/6 + ...): Taylor's terms suffice at this width.
  F32x16 p = fma(set1(1.0f / 5040), r, set1(1.0f / 720));
  p = fma(p, r, set1(1.0f / 120));
  p = fma(p, r, set1(1.0f / 24));
  p = fma(p, r, set1(1.0f / 6));
  p = fma(p, r, set1(0.5f));
  p = add(fma(mul(r, r), p, r), set1(1.0f));
  // 2^n in two factors, so that results below the normal range and above 2^127 come out right.
  const F32x16 half = round_to_whole(mul(n, set1(0.5f)));
  return mul(mul(p, exp2_whole(half)), exp2_whole(sub(n, half)));
}

/// 1 / (1 + e^-x).
ATHANOR_INLINE F32x16 sigmoid(F32x16 x) {
  return div(set1(1.0f), add(set1(1.0f), exp(sub(zero(), x))));
}

}  // namespace athanor::kernels::cpu::ATHANOR_ISA
