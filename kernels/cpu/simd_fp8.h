// E4M3 codes in the vector code: sixteen at a time, the same bits on every instruction set. E4M3
// (Micikevicius et al., arXiv 2209.05433): sign, 4 bits of exponent with bias 7, 3 bits of mantissa; no
// infinity, 0x7f and 0xff are NaN, the largest value is 448, the smallest 2^-9.
#pragma once

#include "kernels/cpu/simd.h"

namespace athanor::kernels::cpu::ATHANOR_ISA {

// Bits of fp32 constants: infinity, the largest code, the smallest normal one; and 2^14, whose unit in the
// last place is 2^-9: adding it rounds to a subnormal code.
constexpr int32_t kInfinityBits = 0x7f800000, kLargestE4m3Bits = 0x43e00000, kSmallestNormalBits = 0x3c800000,
                  kSubnormalMagicBits = 0x46800000;
// The 20 bits that an E4M3 mantissa lacks, all of half a unit but one, and the way from the exponent bias of
// fp32 to that of E4M3.
constexpr int32_t kDroppedBits = 0xfffff, kBelowHalf = 0x7ffff, kRebias = (7 - 127) * (1 << 23) + kBelowHalf;
constexpr int32_t kNanCode = 0x7f, kNanBits = 0x7fc00000;

#if defined(__AVX512F__)

/// Magnitudes as integers, which order like the values and put NaN above infinity.
struct Magnitudes {
  __m512i v;
};
ATHANOR_INLINE Magnitudes no_magnitude() {
  return {_mm512_setzero_si512()};
}
ATHANOR_INLINE Magnitudes larger(Magnitudes m, F32x16 x) {
  return {_mm512_max_epi32(m.v, _mm512_and_si512(_mm512_castps_si512(x.v), _mm512_set1_epi32(0x7fffffff)))};
}
ATHANOR_INLINE void store(float* p, Magnitudes m) {
  _mm512_storeu_si512(p, m.v);
}

ATHANOR_INLINE void store_e4m3(uint8_t* p, F32x16 x) {
  const __m512i bits = _mm512_castps_si512(x.v);
  const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff));
  const __m512i clamped = _mm512_min_epi32(magnitude, _mm512_set1_epi32(kLargestE4m3Bits));
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(clamped, 20), _mm512_set1_epi32(1));
  __m512i code = _mm512_add_epi32(clamped, _mm512_add_epi32(odd, _mm512_set1_epi32(kRebias)));
  code = _mm512_srli_epi32(code, 20);
  const __m512i magic = _mm512_set1_epi32(kSubnormalMagicBits);
  const __m512 rounded = _mm512_add_ps(_mm512_castsi512_ps(clamped), _mm512_castsi512_ps(magic));
  const __mmask16 small = _mm512_cmplt_epi32_mask(clamped, _mm512_set1_epi32(kSmallestNormalBits));
  code = _mm512_mask_sub_epi32(code, small, _mm512_castps_si512(rounded), magic);
  const __mmask16 nan = _mm512_cmpgt_epi32_mask(magnitude, _mm512_set1_epi32(kInfinityBits));
  code = _mm512_mask_mov_epi32(code, nan, _mm512_set1_epi32(kNanCode));
  const __m512i sign = _mm512_and_si512(_mm512_srli_epi32(bits, 24), _mm512_set1_epi32(0x80));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_or_si512(code, sign)));
}

ATHANOR_INLINE F32x16 load_e4m3(const uint8_t* p) {
  const __m512i code = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m512i magnitude = _mm512_and_si512(code, _mm512_set1_epi32(0x7f));
  const __m512i normal = _mm512_add_epi32(_mm512_slli_epi32(magnitude, 20), _mm512_set1_epi32(120 << 23));
  const __m512 subnormal = _mm512_mul_ps(_mm512_cvtepi32_ps(magnitude), _mm512_set1_ps(1.0f / 512));
  const __mmask16 small = _mm512_cmplt_epi32_mask(magnitude, _mm512_set1_epi32(8));
  __m512i bits = _mm512_mask_mov_epi32(normal, small, _mm512_castps_si512(subnormal));
  const __mmask16 nan = _mm512_cmpeq_epi32_mask(magnitude, _mm512_set1_epi32(kNanCode));
  bits = _mm512_mask_mov_epi32(bits, nan, _mm512_set1_epi32(kNanBits));
  const __m512i sign = _mm512_slli_epi32(_mm512_and_si512(code, _mm512_set1_epi32(0x80)), 24);
  return {_mm512_castsi512_ps(_mm512_or_si512(bits, sign))};
}

/// The value of the code that x would get.
ATHANOR_INLINE F32x16 round_to_e4m3(F32x16 x) {
  const __m512i bits = _mm512_castps_si512(x.v);
  const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff));
  const __m512i clamped = _mm512_min_epi32(magnitude, _mm512_set1_epi32(kLargestE4m3Bits));
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(clamped, 20), _mm512_set1_epi32(1));
  __m512i value = _mm512_add_epi32(clamped, _mm512_add_epi32(odd, _mm512_set1_epi32(kBelowHalf)));
  value = _mm512_andnot_si512(_mm512_set1_epi32(kDroppedBits), value);
  const __m512 magic = _mm512_castsi512_ps(_mm512_set1_epi32(kSubnormalMagicBits));
  const __m512 subnormal = _mm512_sub_ps(_mm512_add_ps(_mm512_castsi512_ps(clamped), magic), magic);
  const __mmask16 small = _mm512_cmplt_epi32_mask(clamped, _mm512_set1_epi32(kSmallestNormalBits));
  value = _mm512_mask_mov_epi32(value, small, _mm512_castps_si512(subnormal));
  const __mmask16 nan = _mm512_cmpgt_epi32_mask(magnitude, _mm512_set1_epi32(kInfinityBits));
  value = _mm512_mask_mov_epi32(value, nan, _mm512_set1_epi32(kNanBits));
  return {_mm512_castsi512_ps(_mm512_or_si512(value, _mm512_xor_si512(bits, magnitude)))};
}

#elif defined(__AVX2__)

/// Magnitudes as integers, which order like the values and put NaN above infinity.
struct Magnitudes {
  __m256i lo, hi;
};
ATHANOR_INLINE Magnitudes no_magnitude() {
  return {_mm256_setzero_si256(), _mm256_setzero_si256()};
}
ATHANOR_INLINE __m256i magnitude_8(__m256 x) {
  return _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffffff));
}
ATHANOR_INLINE Magnitudes larger(Magnitudes m, F32x16 x) {
  return {_mm256_max_epi32(m.lo, magnitude_8(x.lo)), _mm256_max_epi32(m.hi, magnitude_8(x.hi))};
}
ATHANOR_INLINE void store(float* p, Magnitudes m) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), m.lo);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), m.hi);
}

ATHANOR_INLINE __m256i encode_8(__m256 x) {
  const __m256i bits = _mm256_castps_si256(x), magnitude = magnitude_8(x);
  const __m256i clamped = _mm256_min_epi32(magnitude, _mm256_set1_epi32(kLargestE4m3Bits));
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(clamped, 20), _mm256_set1_epi32(1));
  __m256i code = _mm256_add_epi32(clamped, _mm256_add_epi32(odd, _mm256_set1_epi32(kRebias)));
  code = _mm256_srli_epi32(code, 20);
  const __m256i magic = _mm256_set1_epi32(kSubnormalMagicBits);
  const __m256 rounded = _mm256_add_ps(_mm256_castsi256_ps(clamped), _mm256_castsi256_ps(magic));
  const __m256i subnormal = _mm256_sub_epi32(_mm256_castps_si256(rounded), magic);
  const __m256i small = _mm256_cmpgt_epi32(_mm256_set1_epi32(kSmallestNormalBits), clamped);
  code = _mm256_blendv_epi8(code, subnormal, small);
  const __m256i nan = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(kInfinityBits));
  code = _mm256_blendv_epi8(code, _mm256_set1_epi32(kNanCode), nan);
  return _mm256_or_si256(code, _mm256_and_si256(_mm256_srli_epi32(bits, 24), _mm256_set1_epi32(0x80)));
}
ATHANOR_INLINE void store_e4m3(uint8_t* p, F32x16 x) {
  const __m256i mixed = _mm256_packus_epi32(encode_8(x.lo), encode_8(x.hi));
  const __m256i words = _mm256_permute4x64_epi64(mixed, 0xd8);
  const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}

ATHANOR_INLINE __m256 decode_8(const uint8_t* p) {
  const __m256i code = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  const __m256i magnitude = _mm256_and_si256(code, _mm256_set1_epi32(0x7f));
  const __m256i normal = _mm256_add_epi32(_mm256_slli_epi32(magnitude, 20), _mm256_set1_epi32(120 << 23));
  const __m256 subnormal = _mm256_mul_ps(_mm256_cvtepi32_ps(magnitude), _mm256_set1_ps(1.0f / 512));
  const __m256i small = _mm256_cmpgt_epi32(_mm256_set1_epi32(8), magnitude);
  __m256i bits = _mm256_blendv_epi8(normal, _mm256_castps_si256(subnormal), small);
  const __m256i nan = _mm256_cmpeq_epi32(magnitude, _mm256_set1_epi32(kNanCode));
  bits = _mm256_blendv_epi8(bits, _mm256_set1_epi32(kNanBits), nan);
  const __m256i sign = _mm256_slli_epi32(_mm256_and_si256(code, _mm256_set1_epi32(0x80)), 24);
  return _mm256_castsi256_ps(_mm256_or_si256(bits, sign));
}
ATHANOR_INLINE F32x16 load_e4m3(const uint8_t* p) {
  return {decode_8(p), decode_8(p + 8)};
}

ATHANOR_INLINE __m256 round_8(__m256 x) {
  const __m256i bits = _mm256_castps_si256(x), magnitude = magnitude_8(x);
  const __m256i clamped = _mm256_min_epi32(magnitude, _mm256_set1_epi32(kLargestE4m3Bits));
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(clamped, 20), _mm256_set1_epi32(1));
  __m256i value = _mm256_add_epi32(clamped, _mm256_add_epi32(odd, _mm256_set1_epi32(kBelowHalf)));
  value = _mm256_andnot_si256(_mm256_set1_epi32(kDroppedBits), value);
  const __m256 magic = _mm256_castsi256_ps(_mm256_set1_epi32(kSubnormalMagicBits));
  const __m256 subnormal = _mm256_sub_ps(_mm256_add_ps(_mm256_castsi256_ps(clamped), magic), magic);
  const __m256i small = _mm256_cmpgt_epi32(_mm256_set1_epi32(kSmallestNormalBits), clamped);
  value = _mm256_blendv_epi8(value, _mm256_castps_si256(subnormal), small);
  const __m256i nan = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(kInfinityBits));
  value = _mm256_blendv_epi8(value, _mm256_set1_epi32(kNanBits), nan);
  return _mm256_castsi256_ps(_mm256_or_si256(value, _mm256_xor_si256(bits, magnitude)));
}
/// The value of the code that x would get.
ATHANOR_INLINE F32x16 round_to_e4m3(F32x16 x) {
  return {round_8(x.lo), round_8(x.hi)};
}

#else

ATHANOR_INLINE int32_t bits_of(float x) {
  int32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  return bits;
}
ATHANOR_INLINE float of_bits(int32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof(x));
  return x;
}

/// Magnitudes as integers, which order like the values and put NaN above infinity.
struct Magnitudes {
  int32_t v[kLanes];
};
ATHANOR_INLINE Magnitudes no_magnitude() {
  return {};
}
ATHANOR_INLINE Magnitudes larger(Magnitudes m, F32x16 x) {
  for (int i = 0; i < kLanes; ++i) {
    const int32_t magnitude = bits_of(x.v[i]) & 0x7fffffff;
    if (magnitude > m.v[i]) m.v[i] = magnitude;
  }
  return m;
}
ATHANOR_INLINE void store(float* p, Magnitudes m) {
  memcpy(p, m.v, sizeof(m.v));
}

ATHANOR_INLINE int32_t encode_one(float x) {
  const int32_t bits = bits_of(x), magnitude = bits & 0x7fffffff, sign = (bits >> 24) & 0x80;
  if (magnitude > kInfinityBits) return sign | kNanCode;
  const int32_t clamped = magnitude < kLargestE4m3Bits ? magnitude : kLargestE4m3Bits;
  if (clamped < kSmallestNormalBits)
    return sign | (bits_of(of_bits(clamped) + of_bits(kSubnormalMagicBits)) - kSubnormalMagicBits);
  return sign | ((clamped + ((clamped >> 20) & 1) + kRebias) >> 20);
}
ATHANOR_INLINE void store_e4m3(uint8_t* p, F32x16 x) {
  for (int i = 0; i < kLanes; ++i) p[i] = static_cast<uint8_t>(encode_one(x.v[i]));
}

ATHANOR_INLINE float decode_one(uint8_t code) {
  const int32_t magnitude = code & 0x7f, sign = static_cast<int32_t>((code & 0x80u) << 24);
  if (magnitude == kNanCode) return of_bits(sign | kNanBits);
  const float value =
      magnitude < 8 ? static_cast<float>(magnitude) * (1.0f / 512) : of_bits((magnitude << 20) + (120 << 23));
  return of_bits(bits_of(value) | sign);
}
ATHANOR_INLINE F32x16 load_e4m3(const uint8_t* p) {
  return lanewise([&](int i) { return decode_one(p[i]); });
}

/// The value of the code that x would get.
ATHANOR_INLINE F32x16 round_to_e4m3(F32x16 x) {
  return lanewise([&](int i) { return decode_one(static_cast<uint8_t>(encode_one(x.v[i]))); });
}

#endif

/// What is left of a row, up to one vector of it.
ATHANOR_INLINE void store_e4m3_upto(uint8_t* p, F32x16 x, int64_t left) {
  if (left >= kLanes) return store_e4m3(p, x);
  uint8_t codes[kLanes];
  store_e4m3(codes, x);
  memcpy(p, codes, static_cast<size_t>(left));
}
ATHANOR_INLINE F32x16 load_e4m3_upto(const uint8_t* p, int64_t left) {
  if (left >= kLanes) return load_e4m3(p);
  uint8_t codes[kLanes] = {};
  memcpy(codes, p, static_cast<size_t>(left));
  return load_e4m3(codes);
}

}  // namespace athanor::kernels::cpu::ATHANOR_ISA
