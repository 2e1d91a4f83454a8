// The arithmetic that the CUDA kernels share with this host, bit for bit against the vector code of every
// instruction set that runs here.
#include "kernels/cuda/fp8_arithmetic.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/cpu/fp8_rows.h"
#include "kernels/cpu/fp8_tiles.h"
#include "kernels/cpu/processor.h"
#include "kernels/cuda/fp8_places.h"

namespace athanor::kernels {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN(),
                kInfinity = std::numeric_limits<float>::infinity();

template <typename T>
struct Tables {
  std::vector<const cpu::Fp8Table<T>*> runnable;
};

Tables<float> f32_tables() {
  Tables<float> tables{{&cpu::portable::kFp8TableF32}};
  if (cpu::processor_isa() >= cpu::Isa::kAvx2) tables.runnable.push_back(&cpu::avx2::kFp8TableF32);
  if (cpu::processor_isa() >= cpu::Isa::kAvx512) tables.runnable.push_back(&cpu::avx512::kFp8TableF32);
  return tables;
}
Tables<cpu::Bf16> bf16_tables() {
  Tables<cpu::Bf16> tables{{&cpu::portable::kFp8TableBf16}};
  if (cpu::processor_isa() >= cpu::Isa::kAvx2) tables.runnable.push_back(&cpu::avx2::kFp8TableBf16);
  if (cpu::processor_isa() >= cpu::Isa::kAvx512) tables.runnable.push_back(&cpu::avx512::kFp8TableBf16);
  return tables;
}

std::vector<uint8_t> all_codes() {
  std::vector<uint8_t> codes(256);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i);
  return codes;
}

void add_with_neighbours(std::vector<float>& values, float value) {
  for (const float x : {value, std::nextafter(value, 0.0f), std::nextafter(value, kInfinity)})
    for (const float signed_x : {x, -x}) values.push_back(signed_x);
}

/// Every code's value and every tie between two, with their neighbours; the edges of every format; random
/// bits of every kind: NaN with any payload and sign, subnormal numbers, infinities.
std::vector<float> telling_values() {
  std::vector<float> values = {0.0f, -0.0f, kInfinity, -kInfinity, kNan, -kNan};
  for (int code = 0; code < 0x7e; ++code) {
    const float low = cuda::value_of_e4m3(static_cast<uint8_t>(code)),
                high = cuda::value_of_e4m3(static_cast<uint8_t>(code + 1));
    add_with_neighbours(values, low);
    add_with_neighbours(values, (low + high) / 2);
  }
  for (const float edge : {448.0f, 464.0f, 480.0f, 1e-45f, std::numeric_limits<float>::min(),
                           std::numeric_limits<float>::max(), 65536.0f, 1.0f / 512, 1.0f / 1024, 1.0f / 64})
    add_with_neighbours(values, edge);
  std::mt19937 generator(3);
  for (int i = 0; i < 200000; ++i) values.push_back(cuda::of_bits(static_cast<uint32_t>(generator())));
  std::normal_distribution<float> normal;
  for (int i = 0; i < 50000; ++i) values.push_back(normal(generator));
  return values;
}

std::vector<cpu::Bf16> as_bf16(const std::vector<float>& values) {
  std::vector<cpu::Bf16> halves;
  for (const float value : values) halves.push_back({static_cast<uint16_t>(cuda::bits_of(value) >> 16)});
  return halves;
}

/// Scales as tiles have them, of both kinds and of every size, and that of a tile with NaN in it.
std::vector<float> telling_scales() {
  std::vector<float> scales = {kNan, 1.0f, 1.0f / 448, 0.1f, 3.0f};
  for (const float magnitude : {1e-38f, 1e-30f, 3e-9f, 1e-4f, 0.7f, 447.9f, 448.0f, 5e8f, 3e38f})
    for (const bool is_power_of_two : {false, true})
      scales.push_back(cuda::scale_of_tile(magnitude, 1e-38f, is_power_of_two));
  return scales;
}

template <typename T>
void expect_encodes_alike(const Tables<T>& tables, const std::vector<T>& x, float scale) {
  const float factor = cuda::inverse_scale(scale);
  const auto count = static_cast<int64_t>(x.size());
  std::vector<uint8_t> codes(x.size());
  std::vector<cpu::Bf16> exact(x.size());
  for (const auto* table : tables.runnable)
    for (const float folded : {1.0f, scale}) {
      table->encode(codes.data(), x.data(), factor, count);
      table->round(exact.data(), x.data(), factor, folded, count);
      for (size_t i = 0; i < x.size(); ++i) {
        const float value = cuda::widened(x[i]);
        const uint8_t mine = cuda::encoded(value, factor);
        // The sign of a NaN times a NaN is for kernels/cpu/fp8_tiles.cpp to settle.
        ASSERT_EQ(mine, std::isnan(scale) ? codes[i] & 0x7f : codes[i])
            << value << " / " << scale << " (bits " << std::hex << cuda::bits_of(value) << ")";
        ASSERT_EQ(cuda::rounded_to_bf16(cuda::decoded(mine, folded)).bits, exact[i].bits)
            << value << " / " << scale << " times " << folded;
      }
    }
}

TEST(Fp8Arithmetic, EncodesAndRoundsAsTheVectorCode) {
  const std::vector<float> values = telling_values();
  for (const float scale : telling_scales()) {
    expect_encodes_alike(f32_tables(), values, scale);
    expect_encodes_alike(bf16_tables(), as_bf16(values), scale);
    if (HasFatalFailure()) return;
  }
}

template <typename T>
bool same_value(T a, T b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

TEST(Fp8Arithmetic, DecodesEveryCodeAsTheVectorCode) {
  const std::vector<uint8_t> codes = all_codes();
  for (const float scale : telling_scales()) {
    std::vector<float> wide(codes.size());
    for (const auto* table : f32_tables().runnable) {
      table->decode(wide.data(), codes.data(), scale, 256);
      for (size_t i = 0; i < codes.size(); ++i) {
        const float mine = cuda::decoded(codes[i], scale);
        // Of a NaN times a NaN, instruction sets keep one or the other; no tile holds the negative one.
        const bool is_nan_twice = std::isnan(scale) && std::isnan(cuda::value_of_e4m3(codes[i]));
        ASSERT_TRUE(same_value(wide[i], mine) || (is_nan_twice && std::isnan(wide[i]) && std::isnan(mine)))
            << i << " * " << scale;
      }
    }
    std::vector<cpu::Bf16> half(codes.size());
    for (const auto* table : bf16_tables().runnable) {
      table->decode(half.data(), codes.data(), scale, 256);
      for (size_t i = 0; i < codes.size(); ++i)
        ASSERT_EQ(half[i].bits, cuda::rounded_to_bf16(cuda::decoded(codes[i], scale)).bits)
            << i << " * " << scale;
    }
  }
}

TEST(Fp8Arithmetic, EveryCodeOfAnExactValueIsFoundAgain) {
  for (const uint8_t code : all_codes()) {
    if ((code & 0x7f) == 0x7f) continue;
    EXPECT_EQ(cuda::encoded(cuda::value_of_e4m3(code), 1.0f), code);
    for (int exponent = -126; exponent <= 118; ++exponent) {
      const float scale = std::ldexp(1.0f, exponent), value = cuda::decoded(code, scale);
      if (std::fabs(value) < std::ldexp(1.0f, -120)) continue;  // bf16 has no more digits there
      const cpu::Bf16 exact = cuda::rounded_to_bf16(value);
      ASSERT_EQ(cuda::encoded(cuda::widened(exact), cuda::inverse_scale(scale)), code)
          << int{code} << " * 2^" << exponent;
    }
  }
}

TEST(Fp8Arithmetic, ScalesAreThoseOfTheCpu) {
  std::mt19937 generator(5);
  std::vector<float> magnitudes = {0.0f, 1e-45f, 1e-30f, 448.0f, kNan, kInfinity, 3.4e38f};
  for (int exponent = -149; exponent < 128; ++exponent)
    for (const float x : {std::ldexp(1.0f, exponent), std::ldexp(448.0f, exponent - 9)})
      for (const float near : {x, std::nextafter(x, 0.0f), std::nextafter(x, kInfinity)})
        magnitudes.push_back(near);
  for (int i = 0; i < 100000; ++i)
    magnitudes.push_back(cuda::of_bits(static_cast<uint32_t>(generator()) & cuda::kMagnitudeBits));
  for (const float magnitude : magnitudes)
    for (const float floor : {kFp8Floor, kFp8GradientFloor, 448.0f})
      for (const Fp8Scale kind : {Fp8Scale::kPowerOfTwo, Fp8Scale::kFp32}) {
        const float mine = cuda::scale_of_tile(magnitude, floor, kind == Fp8Scale::kPowerOfTwo);
        const float expected = cpu::fp8_scale(magnitude, {.scale = kind, .floor = floor});
        ASSERT_TRUE(same_value(mine, expected)) << magnitude << " above " << floor;
      }
}

TEST(Fp8Arithmetic, MagnitudesOrderLikeValuesWithNanOnTop) {
  EXPECT_LT(cuda::magnitude_bits(-0.0f), cuda::magnitude_bits(1e-45f));
  EXPECT_LT(cuda::magnitude_bits(2.0f), cuda::magnitude_bits(-3.0f));
  EXPECT_LT(cuda::magnitude_bits(3e38f), cuda::magnitude_bits(-kInfinity));
  EXPECT_LT(cuda::magnitude_bits(kInfinity), cuda::magnitude_bits(-kNan));
}

// ---- places
// ----------------------------------------------------------------------------------------------------

/// Every element of a stack of matrices belongs to exactly one stretch, with the scale that its place says.
TEST(Fp8Places, StretchesCoverASliceOnce) {
  const int64_t num_matrices = 3, num_rows = 140, num_columns = 300,
                all = num_matrices * num_rows * num_columns;
  for (const auto& [begin, end] :
       {std::pair<int64_t, int64_t>{0, all}, {0, 1}, {299, 301}, {5000, 12345}, {41999, all}, {7, 7}}) {
    const AthanorCudaFp8Place place{ATHANOR_CUDA_FP8_BLOCK, num_rows, num_columns, begin, end, nullptr, 0};
    std::vector<int> seen(static_cast<size_t>(all));
    for (int64_t s = 0; s < cuda::num_stretches(place); ++s) {
      const cuda::Fp8Stretch stretch = cuda::stretch_at(place, s);
      for (int64_t k = 0; k < stretch.count; ++k) {
        const int64_t element = stretch.row * num_columns + stretch.column + k;
        ++seen[static_cast<size_t>(element)];
        const int64_t row = element / num_columns, column = element % num_columns;
        const int64_t scale = (row / num_rows * 2 + row % num_rows / 128) * 3 + column / 128;
        ASSERT_EQ(stretch.scale, scale) << element;
      }
      ASSERT_EQ(stretch.scale_step, 0);
    }
    for (int64_t i = 0; i < all; ++i)
      ASSERT_EQ(seen[static_cast<size_t>(i)], i >= begin && i < end) << i << " of [" << begin << ", " << end;
  }
}

TEST(Fp8Places, TokenStretchesHaveAScaleForEachColumn) {
  // Two groups, of 130 and 3 rows.
  const std::vector<int32_t> tiles = {0, 128, 0, 2, 128, 2, 0, 2, 130, 3, 2, 1};
  const int64_t num_columns = 200, num_rows = 133;
  const AthanorCudaFp8Place place{ATHANOR_CUDA_FP8_TOKEN, num_rows, num_columns, 0, num_rows * num_columns,
                                  tiles.data(),           3};
  std::vector<int> seen(static_cast<size_t>(num_rows * num_columns));
  for (int64_t s = 0; s < cuda::num_stretches(place); ++s) {
    const cuda::Fp8Stretch stretch = cuda::stretch_at(place, s);
    for (int64_t k = 0; k < stretch.count; ++k) {
      ++seen[static_cast<size_t>(stretch.row * num_columns + stretch.column + k)];
      const int64_t tile = stretch.row < 128 ? 0 : stretch.row < 130 ? 1 : 2;
      ASSERT_EQ(stretch.scale + k * stretch.scale_step, tile * num_columns + stretch.column + k);
    }
  }
  for (const int count : seen) ASSERT_EQ(count, 1);
}

TEST(Fp8Places, QuotientsOfEverySize) {
  for (const int64_t a : {int64_t{0}, int64_t{7}, int64_t{0xffffffff}, int64_t{1} << 40, int64_t{1} << 32})
    for (const int64_t b : {int64_t{1}, int64_t{3}, int64_t{0xffffffff}, int64_t{1} << 33})
      EXPECT_EQ(cuda::whole_quotient(a, b), a / b) << a << " / " << b;
}

}  // namespace
}  // namespace athanor::kernels
