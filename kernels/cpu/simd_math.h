// Elementary functions on sixteen lanes. Include only where simd.h may be included.
#pragma once

#include "kernels/cpu/simd.h"

namespace athanor::kernels::cpu::ATHANOR_ISA {

/// The nearest whole number, ties to even; |x| < 2^22.
ATHANOR_INLINE F32x16 round_to_whole(F32x16 x) {
  const F32x16 magic = set1(12582912.0f);  // 1.5 * 2^23: adding it leaves no bits for a fraction
  return sub(add(x, magic), magic);
}

/// x = n ln 2 + r with whole n and |r| <= ln 2 / 2: gives e^r, and n.
struct ExpParts {
  F32x16 fraction, n;
};
ATHANOR_INLINE ExpParts exp_parts(F32x16 x) {
  const F32x16 n = round_to_whole(mul(x, set1(1.44269504f)));
  // In two steps (Cody and Waite).
  F32x16 r = fma(n, set1(-0.693145752f), x);
  r = fma(n, set1(-1.42860677e-6f), r);
  // e^r = 1 + r + r^2 (1/2 + r/6 + ...): Taylor's terms suffice at this width.
  F32x16 p = fma(set1(1.0f / 5040), r, set1(1.0f / 720));
  p = fma(p, r, set1(1.0f / 120));
  p = fma(p, r, set1(1.0f / 24));
  p = fma(p, r, set1(1.0f / 6));
  p = fma(p, r, set1(0.5f));
  return {add(fma(mul(r, r), p, r), set1(1.0f)), n};
}

/// e^x within 1 ulp where the result is normal; 0 below, infinity above, NaN for NaN.
ATHANOR_INLINE F32x16 exp(F32x16 x) {
  // Below -104 everything rounds to zero and above 89 everything overflows. The order of the arguments keeps
  // NaN.
  const ExpParts parts = exp_parts(max(set1(-104.0f), min(set1(89.0f), x)));
  // 2^n in two factors, so that results below the normal range and above 2^127 come out right.
  const F32x16 half = round_to_whole(mul(parts.n, set1(0.5f)));
  return mul(mul(parts.fraction, exp2_whole(half)), exp2_whole(sub(parts.n, half)));
}

/// The same for softmax, where x is at most about 0 (and must be below 88): quicker, exactly 1 at 0, and 0
/// from about -87.7 down.
ATHANOR_INLINE F32x16 exp_flushed(F32x16 x) {
  const ExpParts parts = exp_parts(max(set1(-88.02f), min(set1(88.0f), x)));
  return mul(parts.fraction, exp2_whole(parts.n));  // the bits of 2^-127 are those of 0
}

/// 2^x within 5e-7 of itself for a softmax taken in powers of two, where x is at most about 0 (and must be
/// below 127): exactly 1 at 0, and 0 from -126.5 down.
ATHANOR_INLINE F32x16 exp2_flushed(F32x16 x) {
  const F32x16 magic = set1(12582912.0f);
  x = max(set1(-127.0f), x);  // keeps NaN
  const F32x16 shifted = add(x, magic);
  const F32x16 r = sub(x, sub(shifted, magic));
  // Least relative error on [-1/2, 1/2] among the polynomials that are 1 at 0.
  F32x16 p = fma(set1(0.00111255073f), r, set1(0.00966628268f));
  p = fma(p, r, set1(0.0555740036f));
  p = fma(p, r, set1(0.240223512f));
  p = fma(p, r, set1(0.693142831f));
  p = fma(p, r, set1(1.0f));
  return mul(p, exp2_of_shifted(shifted));
}

/// 1 / (1 + e^-x).
ATHANOR_INLINE F32x16 sigmoid(F32x16 x) {
  return div(set1(1.0f), add(set1(1.0f), exp(sub(zero(), x))));
}

/// The largest lane; anything when one is NaN.
ATHANOR_INLINE float max_lanes(F32x16 a) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_ps(a.v);
#elif defined(__AVX2__)
  const __m256 eight = _mm256_max_ps(a.lo, a.hi);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
#else
  float largest = a.v[0];
  for (int i = 1; i < kLanes; ++i) largest = a.v[i] > largest ? a.v[i] : largest;
  return largest;
#endif
}

}  // namespace athanor::kernels::cpu::ATHANOR_ISA
