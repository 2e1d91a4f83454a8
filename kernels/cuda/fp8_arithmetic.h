// The arithmetic of E4M3 tiles (kernels/fp8.h), one element at a time, read alike by nvcc and by the host's
// compiler: every step is one IEEE operation or one on whole numbers, and gives the bits of kernels/cpu. The
// host's reading of it is what tests/kernels/fp8_arithmetic_test.cpp compares with the vector code.
//
// NaN needs words of its own, because processors differ in the bits they make. Here a product with NaN gives
// that NaN, of two the scale's: all codes of a tile with NaN are 0x7f, as in kernels/cpu. A bf16 NaN is
// 0x7fc0.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/cpu/bf16.h"

#ifdef __USE_FAST_MATH__
#error "fast math would change the bits of quantised values"
#endif

#ifdef __CUDACC__
#define ATHANOR_HOST_DEVICE __host__ __device__
#else
#define ATHANOR_HOST_DEVICE
#endif

namespace athanor::kernels::cuda {

constexpr float kLargestE4m3 = 448.0f, kLargestFloat = 3.40282346638528859812e+38f;
/// Bits of fp32 constants: infinity, a NaN, the largest code's value, the smallest normal one's; and 2^14,
/// whose unit in the last place is 2^-9: adding it rounds to a subnormal code.
constexpr uint32_t kInfinityBits = 0x7f800000, kNanBits = 0x7fc00000, kLargestE4m3Bits = 0x43e00000,
                   kSmallestNormalBits = 0x3c800000, kSubnormalMagicBits = 0x46800000;
constexpr uint32_t kMagnitudeBits = 0x7fffffff, kSignBit = 0x80000000;

ATHANOR_HOST_DEVICE inline uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  return bits;
}
ATHANOR_HOST_DEVICE inline float of_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof(x));
  return x;
}

// ---- single IEEE operations, which no compiler fuses
// ---------------------------------------------------------

#ifdef __CUDA_ARCH__
__device__ inline float product_rn(float a, float b) {
  return __fmul_rn(a, b);
}
__device__ inline float quotient_rn(float a, float b) {
  return __fdiv_rn(a, b);
}
__device__ inline float sum_rn(float a, float b) {
  return __fadd_rn(a, b);
}
#else
ATHANOR_HOST_DEVICE inline float product_rn(float a, float b) {
  return a * b;
}
ATHANOR_HOST_DEVICE inline float quotient_rn(float a, float b) {
  return a / b;
}
ATHANOR_HOST_DEVICE inline float sum_rn(float a, float b) {
  return a + b;
}
#endif

ATHANOR_HOST_DEVICE inline bool is_nan(float x) {
  return (bits_of(x) & kMagnitudeBits) > kInfinityBits;
}
/// x times a scale, or times the inverse of one.
ATHANOR_HOST_DEVICE inline float scaled(float x, float scale) {
  if (is_nan(scale)) return scale;
  return is_nan(x) ? x : product_rn(x, scale);
}

// ---- bf16
// ------------------------------------------------------------------------------------------------------

ATHANOR_HOST_DEVICE inline float widened(float x) {
  return x;
}
ATHANOR_HOST_DEVICE inline float widened(cpu::Bf16 x) {
  return of_bits(static_cast<uint32_t>(x.bits) << 16);
}
ATHANOR_HOST_DEVICE inline cpu::Bf16 rounded_to_bf16(float x) {
  if (is_nan(x)) return {0x7fc0};
  const uint32_t bits = bits_of(x);
  return {static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

// ---- scales
// ----------------------------------------------------------------------------------------------------

/// |x| as a whole number: these order like the values, and NaN above infinity.
ATHANOR_HOST_DEVICE inline uint32_t magnitude_bits(float x) {
  return bits_of(x) & kMagnitudeBits;
}

/// Up to the next power of two, subnormal ones to the smallest normal one, at most 2^127.
ATHANOR_HOST_DEVICE inline float up_to_power_of_two(float scale) {
  const uint32_t bits = bits_of(scale), exponent = (bits >> 23) + ((bits & 0x7fffff) != 0);
  return of_bits((exponent < 1 ? 1 : exponent > 254 ? 254 : exponent) << 23);
}

/// The scale of a tile whose largest magnitude is this; NaN when that is not finite.
ATHANOR_HOST_DEVICE inline float scale_of_tile(float magnitude, float floor, bool is_power_of_two) {
  if (!(magnitude <= kLargestFloat)) return of_bits(kNanBits);
  const float scale = quotient_rn(magnitude < floor ? floor : magnitude, kLargestE4m3);
  return is_power_of_two ? up_to_power_of_two(scale) : scale;
}

/// What values are multiplied by to become codes. NaN of a NaN.
ATHANOR_HOST_DEVICE inline float inverse_scale(float scale) {
  return is_nan(scale) ? scale : quotient_rn(1.0f, scale);
}

// ---- codes
// -----------------------------------------------------------------------------------------------------

/// The nearest code, the even one of two; beyond the largest: that one. NaN: the highest code. The sign
/// stays.
ATHANOR_HOST_DEVICE inline uint8_t nearest_e4m3(float x) {
  constexpr uint32_t kBelowHalf = 0x7ffff, kRebias = 120u << 23;
  const uint32_t magnitude = magnitude_bits(x), sign = (bits_of(x) >> 24) & 0x80;
  if (magnitude > kInfinityBits) return static_cast<uint8_t>(sign | 0x7f);
  const uint32_t clamped = magnitude < kLargestE4m3Bits ? magnitude : kLargestE4m3Bits;
  if (clamped < kSmallestNormalBits)
    return static_cast<uint8_t>(
        sign | (bits_of(sum_rn(of_bits(clamped), of_bits(kSubnormalMagicBits))) - kSubnormalMagicBits));
  return static_cast<uint8_t>(sign | ((clamped + ((clamped >> 20) & 1) + kBelowHalf - kRebias) >> 20));
}

ATHANOR_HOST_DEVICE inline float value_of_e4m3(uint8_t code) {
  const uint32_t magnitude = code & 0x7fu, sign = (code & 0x80u) << 24;
  if (magnitude == 0x7f) return of_bits(sign | kNanBits);
  const float value = magnitude < 8 ? static_cast<float>(magnitude) * (1.0f / 512)
                                    : of_bits((magnitude << 20) + (120u << 23));
  return of_bits(bits_of(value) | sign);
}

/// The code of x in a tile whose scale has this inverse.
ATHANOR_HOST_DEVICE inline uint8_t encoded(float x, float factor) {
  return nearest_e4m3(scaled(x, factor));
}
/// The value of a code times a scale.
ATHANOR_HOST_DEVICE inline float decoded(uint8_t code, float scale) {
  return scaled(value_of_e4m3(code), scale);
}

}  // namespace athanor::kernels::cuda
