// exp and the largest lane, for vector code (see kernels/cpu/simd.h for the rules of such files).
#pragma once

#include "kernels/cpu/simd.h"

namespace athanor::kernels::cpu::ATHANOR_ISA {

/// e^x for x <= 88, within 2 units in the last place; exactly 1 at 0; 0 below about -87.7; NaN stays NaN.
/// x = n ln 2 + r with |r| <= ln 2 / 2, and the Taylor polynomial of degree 7 for e^r (its error is 5e-9).
ATHANOR_INLINE F32x16 exp_flushed(F32x16 x) {
  const F32x16 clamped = max(set1(-88.02f), min(set1(88.0f), x));  // NaN passes: it is the second operand
  const F32x16 rounder = set1(12582912.0f);  // 1.5 * 2^23: adding it rounds to a whole number
  const F32x16 n = sub(fma(clamped, set1(1.44269504f), rounder), rounder);
  F32x16 r = fma(n, set1(-0.693147182f), clamped);
  r = fma(n, set1(1.90465421e-9f), r);
  F32x16 p = set1(1.0f / 5040);
  p = fma(p, r, set1(1.0f / 720));
  p = fma(p, r, set1(1.0f / 120));
  p = fma(p, r, set1(1.0f / 24));
  p = fma(p, r, set1(1.0f / 6));
  p = fma(p, r, set1(0.5f));
  p = fma(p, r, set1(1.0f));
  p = fma(p, r, set1(1.0f));
  return mul(p, exp2_whole(n));  // n = -127 gives 0
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
