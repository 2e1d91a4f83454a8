// Sixteen fp32 lanes, the same on every instruction set: one AVX-512 register, two of AVX2, or an array.
//
// A file that uses this is compiled once per instruction set (kernels/cpu/CMakeLists.txt:
// athanor_simd_sources); all it defines lives in `namespace ATHANOR_ISA`, so that no inline function compiled
// for a newer processor can be picked by the linker for an older one. Such a file includes nothing but this
// header and plain C headers. Every operation rounds as IEEE says and sums are taken in one fixed order: all
// instruction sets give the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/bf16.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#define ATHANOR_ISA avx512
#elif defined(__AVX2__)
#include <immintrin.h>
#define ATHANOR_ISA avx2
#else
#include <math.h>
#define ATHANOR_ISA portable
#endif

#define ATHANOR_INLINE static inline __attribute__((always_inline))

namespace athanor::kernels::cpu::ATHANOR_ISA {

constexpr int kLanes = 16;

#if defined(__AVX512F__)

struct F32x16 {
  __m512 v;
};
ATHANOR_INLINE F32x16 set1(float x) {
  return {_mm512_set1_ps(x)};
}
ATHANOR_INLINE F32x16 load(const float* p) {
  return {_mm512_loadu_ps(p)};
}
ATHANOR_INLINE void store(float* p, F32x16 a) {
  _mm512_storeu_ps(p, a.v);
}
ATHANOR_INLINE F32x16 add(F32x16 a, F32x16 b) {
  return {_mm512_add_ps(a.v, b.v)};
}
ATHANOR_INLINE F32x16 sub(F32x16 a, F32x16 b) {
  return {_mm512_sub_ps(a.v, b.v)};
}
ATHANOR_INLINE F32x16 mul(F32x16 a, F32x16 b) {
  return {_mm512_mul_ps(a.v, b.v)};
}
ATHANOR_INLINE F32x16 div(F32x16 a, F32x16 b) {
  return {_mm512_div_ps(a.v, b.v)};
}
ATHANOR_INLINE F32x16 sqrt(F32x16 a) {
  return {_mm512_sqrt_ps(a.v)};
}
/// max and min give `b` when either is NaN.
ATHANOR_INLINE F32x16 max(F32x16 a, F32x16 b) {
  return {_mm512_max_ps(a.v, b.v)};
}
ATHANOR_INLINE F32x16 min(F32x16 a, F32x16 b) {
  return {_mm512_min_ps(a.v, b.v)};
}
/// a*b + c, rounded once.
ATHANOR_INLINE F32x16 fma(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
/// 2^n for whole n in [-126, 127].
ATHANOR_INLINE F32x16 exp2_whole(F32x16 n) {
  const __m512i biased = _mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(biased, 23))};
}
ATHANOR_INLINE F32x16 load(const Bf16* p) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
}
ATHANOR_INLINE void store(Bf16* p, F32x16 a) {
  const __m512i bits = _mm512_castps_si512(a.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  rounded = _mm512_srli_epi32(rounded, 16);
  const __mmask16 nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
  rounded = _mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7fc0));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(rounded));
}
/// Rounds to the nearest bf16 (ties away from zero, which takes one instruction instead of four): its bits
/// are the upper half of every lane; the lower half is junk. A NaN must have a lower half of zeros, as those
/// of bf16 operands and of arithmetic have.
ATHANOR_INLINE F32x16 rounded_in_upper(F32x16 a) {
  return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a.v), _mm512_set1_epi32(0x8000)))};
}
/// p[2i] and p[2i + 1] are the upper halves of lane i of `even` and of `odd`.
ATHANOR_INLINE void store_uppers(Bf16* p, F32x16 even, F32x16 odd) {
  const __m512i low = _mm512_srli_epi32(_mm512_castps_si512(even.v), 16);
  const __m512i high = _mm512_and_si512(_mm512_castps_si512(odd.v), _mm512_set1_epi32(-0x10000));
  _mm512_storeu_si512(p, _mm512_or_si512(low, high));
}
/// 2^n from n + 1.5 * 2^23 for whole n in [-127, 127]; 0 for -127.
ATHANOR_INLINE F32x16 exp2_of_shifted(F32x16 a) {
  const __m512i power = _mm512_slli_epi32(_mm512_castps_si512(a.v), 23);
  return {_mm512_castsi512_ps(_mm512_add_epi32(power, _mm512_set1_epi32(127 << 23)))};
}
/// a and b hold 32 consecutive values: their even-numbered ones, then their odd-numbered ones.
ATHANOR_INLINE void deinterleave(F32x16& a, F32x16& b) {
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512 first = _mm512_permutex2var_ps(a.v, even, b.v);
  b.v = _mm512_permutex2var_ps(a.v, _mm512_add_epi32(even, _mm512_set1_epi32(1)), b.v);
  a.v = first;
}
/// The way back: a0 b0 a1 b1 ... in 32 consecutive values.
ATHANOR_INLINE void interleave(F32x16& a, F32x16& b) {
  const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512 first = _mm512_permutex2var_ps(a.v, low, b.v);
  b.v = _mm512_permutex2var_ps(a.v, _mm512_add_epi32(low, _mm512_set1_epi32(8)), b.v);
  a.v = first;
}

#elif defined(__AVX2__)

struct F32x16 {
  __m256 lo, hi;
};
ATHANOR_INLINE F32x16 set1(float x) {
  return {_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
ATHANOR_INLINE F32x16 load(const float* p) {
  return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
ATHANOR_INLINE void store(float* p, F32x16 a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
ATHANOR_INLINE F32x16 add(F32x16 a, F32x16 b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
ATHANOR_INLINE F32x16 sub(F32x16 a, F32x16 b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
ATHANOR_INLINE F32x16 mul(F32x16 a, F32x16 b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
ATHANOR_INLINE F32x16 div(F32x16 a, F32x16 b) {
  return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
ATHANOR_INLINE F32x16 sqrt(F32x16 a) {
  return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)};
}
/// max and min give `b` when either is NaN.
ATHANOR_INLINE F32x16 max(F32x16 a, F32x16 b) {
  return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}
ATHANOR_INLINE F32x16 min(F32x16 a, F32x16 b) {
  return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
}
/// a*b + c, rounded once.
ATHANOR_INLINE F32x16 fma(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
ATHANOR_INLINE __m256 exp2_whole_8(__m256 n) {
  const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
}
/// 2^n for whole n in [-126, 127].
ATHANOR_INLINE F32x16 exp2_whole(F32x16 n) {
  return {exp2_whole_8(n.lo), exp2_whole_8(n.hi)};
}
ATHANOR_INLINE __m256 widen_8(const Bf16* p) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
ATHANOR_INLINE F32x16 load(const Bf16* p) {
  return {widen_8(p), widen_8(p + 8)};
}
ATHANOR_INLINE __m256i narrow_8(__m256 a) {
  const __m256i bits = _mm256_castps_si256(a);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  rounded = _mm256_srli_epi32(rounded, 16);
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
  return _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc0), nan);
}
ATHANOR_INLINE void store(Bf16* p, F32x16 a) {
  const __m256i packed = _mm256_packus_epi32(narrow_8(a.lo), narrow_8(a.hi));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xd8));
}
ATHANOR_INLINE __m256 rounded_in_upper_8(__m256 a) {
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), _mm256_set1_epi32(0x8000)));
}
/// Rounds to the nearest bf16 (ties away from zero, which takes one instruction instead of four): its bits
/// are the upper half of every lane; the lower half is junk. A NaN must have a lower half of zeros, as those
/// of bf16 operands and of arithmetic have.
ATHANOR_INLINE F32x16 rounded_in_upper(F32x16 a) {
  return {rounded_in_upper_8(a.lo), rounded_in_upper_8(a.hi)};
}
ATHANOR_INLINE void store_uppers_8(Bf16* p, __m256 even, __m256 odd) {
  const __m256i low = _mm256_srli_epi32(_mm256_castps_si256(even), 16);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_blend_epi16(low, _mm256_castps_si256(odd), 0xaa));
}
/// p[2i] and p[2i + 1] are the upper halves of lane i of `even` and of `odd`.
ATHANOR_INLINE void store_uppers(Bf16* p, F32x16 even, F32x16 odd) {
  store_uppers_8(p, even.lo, odd.lo);
  store_uppers_8(p + 16, even.hi, odd.hi);
}
ATHANOR_INLINE __m256 exp2_of_shifted_8(__m256 a) {
  const __m256i power = _mm256_slli_epi32(_mm256_castps_si256(a), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(power, _mm256_set1_epi32(127 << 23)));
}
/// 2^n from n + 1.5 * 2^23 for whole n in [-127, 127]; 0 for -127.
ATHANOR_INLINE F32x16 exp2_of_shifted(F32x16 a) {
  return {exp2_of_shifted_8(a.lo), exp2_of_shifted_8(a.hi)};
}
ATHANOR_INLINE __m256 every_second(__m256 a, __m256 b, bool odd) {
  const __m256 mixed = odd ? _mm256_shuffle_ps(a, b, 0xdd) : _mm256_shuffle_ps(a, b, 0x88);
  return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(mixed), 0xd8));
}
/// a and b hold 32 consecutive values: their even-numbered ones, then their odd-numbered ones.
ATHANOR_INLINE void deinterleave(F32x16& a, F32x16& b) {
  const F32x16 even = {every_second(a.lo, a.hi, false), every_second(b.lo, b.hi, false)};
  b = {every_second(a.lo, a.hi, true), every_second(b.lo, b.hi, true)};
  a = even;
}
ATHANOR_INLINE F32x16 zip_8(__m256 a, __m256 b) {
  const __m256 low = _mm256_unpacklo_ps(a, b), high = _mm256_unpackhi_ps(a, b);
  return {_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31)};
}
/// The way back: a0 b0 a1 b1 ... in 32 consecutive values.
ATHANOR_INLINE void interleave(F32x16& a, F32x16& b) {
  const F32x16 first = zip_8(a.lo, b.lo);
  b = zip_8(a.hi, b.hi);
  a = first;
}

#else

struct F32x16 {
  float v[kLanes];
};
template <typename F>
ATHANOR_INLINE F32x16 lanewise(F f) {
  F32x16 out;
  for (int i = 0; i < kLanes; ++i) out.v[i] = f(i);
  return out;
}
ATHANOR_INLINE F32x16 set1(float x) {
  return lanewise([&](int) { return x; });
}
ATHANOR_INLINE F32x16 load(const float* p) {
  return lanewise([&](int i) { return p[i]; });
}
ATHANOR_INLINE void store(float* p, F32x16 a) {
  memcpy(p, a.v, sizeof(a.v));
}
ATHANOR_INLINE F32x16 add(F32x16 a, F32x16 b) {
  return lanewise([&](int i) { return a.v[i] + b.v[i]; });
}
ATHANOR_INLINE F32x16 sub(F32x16 a, F32x16 b) {
  return lanewise([&](int i) { return a.v[i] - b.v[i]; });
}
ATHANOR_INLINE F32x16 mul(F32x16 a, F32x16 b) {
  return lanewise([&](int i) { return a.v[i] * b.v[i]; });
}
ATHANOR_INLINE F32x16 div(F32x16 a, F32x16 b) {
  return lanewise([&](int i) { return a.v[i] / b.v[i]; });
}
ATHANOR_INLINE F32x16 sqrt(F32x16 a) {
  return lanewise([&](int i) { return __builtin_sqrtf(a.v[i]); });
}
/// max and min give `b` when either is NaN.
ATHANOR_INLINE F32x16 max(F32x16 a, F32x16 b) {
  return lanewise([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
ATHANOR_INLINE F32x16 min(F32x16 a, F32x16 b) {
  return lanewise([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
/// a*b + c, rounded once.
ATHANOR_INLINE F32x16 fma(F32x16 a, F32x16 b, F32x16 c) {
  return lanewise([&](int i) { return __builtin_fmaf(a.v[i], b.v[i], c.v[i]); });
}
/// 2^n for whole n in [-126, 127].
ATHANOR_INLINE F32x16 exp2_whole(F32x16 n) {
  return lanewise([&](int i) {
    const int32_t whole = n.v[i] == n.v[i] ? static_cast<int32_t>(n.v[i]) : 0;  // NaN: any power will do
    const uint32_t bits = static_cast<uint32_t>(whole + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof(power));
    return power;
  });
}
ATHANOR_INLINE F32x16 load(const Bf16* p) {
  return lanewise([&](int i) {
    const uint32_t bits = static_cast<uint32_t>(p[i].bits) << 16;
    float x;
    memcpy(&x, &bits, sizeof(x));
    return x;
  });
}
ATHANOR_INLINE void store(Bf16* p, F32x16 a) {
  for (int i = 0; i < kLanes; ++i) {
    uint32_t bits;
    memcpy(&bits, &a.v[i], sizeof(bits));
    const bool is_nan = a.v[i] != a.v[i];
    p[i].bits = is_nan ? 0x7fc0 : static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
  }
}
ATHANOR_INLINE uint32_t float_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  return bits;
}
ATHANOR_INLINE float float_of_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof(x));
  return x;
}
/// Rounds to the nearest bf16 (ties away from zero, which takes one instruction instead of four): its bits
/// are the upper half of every lane; the lower half is junk. A NaN must have a lower half of zeros, as those
/// of bf16 operands and of arithmetic have.
ATHANOR_INLINE F32x16 rounded_in_upper(F32x16 a) {
  return lanewise([&](int i) { return float_of_bits(float_bits(a.v[i]) + 0x8000); });
}
/// p[2i] and p[2i + 1] are the upper halves of lane i of `even` and of `odd`.
ATHANOR_INLINE void store_uppers(Bf16* p, F32x16 even, F32x16 odd) {
  for (int i = 0; i < kLanes; ++i) {
    p[2 * i].bits = static_cast<uint16_t>(float_bits(even.v[i]) >> 16);
    p[2 * i + 1].bits = static_cast<uint16_t>(float_bits(odd.v[i]) >> 16);
  }
}
/// 2^n from n + 1.5 * 2^23 for whole n in [-127, 127]; 0 for -127.
ATHANOR_INLINE F32x16 exp2_of_shifted(F32x16 a) {
  return lanewise([&](int i) { return float_of_bits((float_bits(a.v[i]) << 23) + (127u << 23)); });
}
/// a and b hold 32 consecutive values: their even-numbered ones, then their odd-numbered ones.
ATHANOR_INLINE void deinterleave(F32x16& a, F32x16& b) {
  float all[2 * kLanes];
  store(all, a);
  store(all + kLanes, b);
  a = lanewise([&](int i) { return all[2 * i]; });
  b = lanewise([&](int i) { return all[2 * i + 1]; });
}
/// The way back: a0 b0 a1 b1 ... in 32 consecutive values.
ATHANOR_INLINE void interleave(F32x16& a, F32x16& b) {
  const F32x16 first = lanewise([&](int i) { return i % 2 ? b.v[i / 2] : a.v[i / 2]; });
  b = lanewise([&](int i) { return i % 2 ? b.v[8 + i / 2] : a.v[8 + i / 2]; });
  a = first;
}

#endif

ATHANOR_INLINE F32x16 zero() {
  return set1(0.0f);
}

/// The first `count` (< 16) values; the other lanes are zero and their memory is not touched.
template <typename T>
ATHANOR_INLINE F32x16 load_first(const T* p, int64_t count) {
  T lanes[kLanes] = {};
  memcpy(lanes, p, static_cast<size_t>(count) * sizeof(T));
  return load(lanes);
}
template <typename T>
ATHANOR_INLINE void store_first(T* p, F32x16 a, int64_t count) {
  T lanes[kLanes];
  store(lanes, a);
  memcpy(p, lanes, static_cast<size_t>(count) * sizeof(T));
}

/// What is left of a row, up to one vector of it: the loops over rows of any length.
template <typename T>
ATHANOR_INLINE F32x16 load_upto(const T* p, int64_t left) {
  return left >= kLanes ? load(p) : load_first(p, left);
}
template <typename T>
ATHANOR_INLINE void store_upto(T* p, F32x16 a, int64_t left) {
  if (left >= kLanes)
    store(p, a);
  else
    store_first(p, a, left);
}

/// The sum of all lanes in one fixed tree: lanes 8 apart first, then 4, 2, 1.
ATHANOR_INLINE float sum_lanes(F32x16 a) {
#if defined(__AVX2__)
#if defined(__AVX512F__)
  const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a.v), 1));
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), high);
#else
  const __m256 eight = _mm256_add_ps(a.lo, a.hi);
#endif
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
#else
  for (int distance = kLanes / 2; distance > 0; distance /= 2)
    for (int i = 0; i < distance; ++i) a.v[i] += a.v[i + distance];
  return a.v[0];
#endif
}

}  // namespace athanor::kernels::cpu::ATHANOR_ISA
