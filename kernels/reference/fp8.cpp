#include "kernels/reference/fp8.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include <ATen/ops/zeros_like.h>

#include "kernels/reference/plain_ops.h"

namespace athanor::kernels::reference {
namespace {

float tile_scale(float magnitude, const Fp8Options& options) {
  if (!std::isfinite(magnitude)) return std::numeric_limits<float>::quiet_NaN();
  const float scale = std::max(magnitude, options.floor) / 448.0f;
  if (options.scale == Fp8Scale::kFp32) return scale;
  int exponent = 0;
  const float fraction = std::frexp(scale, &exponent);
  return std::ldexp(1.0f, fraction == 0.5f ? exponent - 1 : exponent);
}

/// Which tile an element of a matrix belongs to.
int64_t tile_of(int64_t row, int64_t column, int64_t num_columns, Fp8Tiles tiles,
                const std::vector<int64_t>& offsets) {
  if (tiles == Fp8Tiles::kRow) return row * fp8_tiles(num_columns) + column / kFp8Tile;
  if (tiles == Fp8Tiles::kBlock) return row / kFp8Tile * fp8_tiles(num_columns) + column / kFp8Tile;
  int64_t tiles_before = 0;
  for (size_t e = 0; e + 1 < offsets.size() && offsets[e] <= row; ++e) {
    if (row < offsets[e + 1]) return (tiles_before + (row - offsets[e]) / kFp8Tile) * num_columns + column;
    tiles_before += fp8_tiles(offsets[e + 1] - offsets[e]);
  }
  return column;
}

uint8_t largest_finite_code(Fp8Format format) {
  return format == Fp8Format::kE4m3 ? 0x7e : 0x7b;
}

/// Of all codes from zero up, ascending.
std::vector<double> finite_values(Fp8Format format) {
  std::vector<double> values;
  for (uint8_t code = 0; code <= largest_finite_code(format); ++code)
    values.push_back(fp8_value(code, format));
  return values;
}

}  // namespace

float fp8_value(uint8_t code, Fp8Format format) {
  const int mantissa_bits = format == Fp8Format::kE4m3 ? 3 : 2, bias = format == Fp8Format::kE4m3 ? 7 : 15;
  const int magnitude = code & 0x7f, ones = (1 << mantissa_bits) - 1;
  const int exponent = magnitude >> mantissa_bits, mantissa = magnitude & ones;
  const float sign = code & 0x80 ? -1.0f : 1.0f;
  if (magnitude > largest_finite_code(format)) {
    const bool is_infinity = format == Fp8Format::kE5m2 && mantissa == 0;
    return sign *
           (is_infinity ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN());
  }
  const int whole = exponent == 0 ? mantissa : mantissa + ones + 1;
  return sign * std::ldexp(static_cast<float>(whole), std::max(exponent, 1) - bias - mantissa_bits);
}

uint8_t fp8_code(float x, Fp8Format format) {
  static const std::vector<double> tables[] = {finite_values(Fp8Format::kE4m3),
                                               finite_values(Fp8Format::kE5m2)};
  const std::vector<double>& values = tables[static_cast<size_t>(format)];
  const uint8_t sign = std::signbit(x) ? 0x80 : 0;
  if (std::isnan(x)) return sign | 0x7f;
  const double magnitude = std::fabs(static_cast<double>(x));
  if (magnitude >= values.back()) return static_cast<uint8_t>(sign | largest_finite_code(format));
  const auto above = std::upper_bound(values.begin(), values.end(), magnitude);
  const auto code = static_cast<uint8_t>(above - values.begin() - 1);
  const double down = magnitude - values[code], up = values[code + 1u] - magnitude;
  const bool goes_up = up < down || (up == down && code % 2 == 1);
  return static_cast<uint8_t>(sign | (goes_up ? code + 1 : code));
}

QuantisedElements quantise(const at::Tensor& x, Fp8Tiles tiles, const Fp8Options& options,
                           const std::vector<int64_t>& offsets) {
  const at::Tensor from = x.to(at::kFloat).contiguous();
  QuantisedElements out{at::zeros_like(from, at::TensorOptions().dtype(at::kByte)), at::zeros_like(from),
                        at::zeros_like(from)};
  const int64_t num_rows = x.size(0), num_columns = x.size(1);
  const std::vector<int64_t> groups = offsets.empty() ? std::vector<int64_t>{0, num_rows} : offsets;
  std::map<int64_t, float> magnitudes;
  const auto for_each = [&](auto body) {
    for (int64_t i = 0; i < from.numel(); ++i)
      body(i, tile_of(i / num_columns, i % num_columns, num_columns, tiles, groups),
           from.const_data_ptr<float>()[i]);
  };
  for_each([&](int64_t, int64_t tile, float value) {
    float& magnitude = magnitudes[tile];
    if (std::isnan(value) || std::fabs(value) > magnitude) magnitude = std::fabs(value);
  });
  for_each([&](int64_t i, int64_t tile, float value) {
    const float scale = tile_scale(magnitudes[tile], options);
    const uint8_t code = fp8_code(value * (1.0f / scale));
    out.codes.mutable_data_ptr<uint8_t>()[i] = code;
    out.values.mutable_data_ptr<float>()[i] = fp8_value(code);
    out.scales.mutable_data_ptr<float>()[i] = scale;
  });
  return out;
}

at::Tensor fp8_product(const QuantisedElements& a, const QuantisedElements& b, Fp8Scale scale,
                       const std::optional<at::Tensor>& start) {
  if (scale == Fp8Scale::kPowerOfTwo) return product(a.values * a.scales, b.values * b.scales, start);
  const int64_t num_rows = a.values.size(0), depth = a.values.size(1), num_columns = b.values.size(1);
  at::Tensor out = start ? start->clone() : at::zeros({num_rows, num_columns});
  float* sums = out.mutable_data_ptr<float>();
  for (int64_t k = 0; k < depth; k += kFp8Tile) {
    const int64_t count = std::min(kFp8Tile, depth - k);
    const at::Tensor chain = product(a.values.narrow(1, k, count), b.values.narrow(0, k, count));
    const at::Tensor rows = a.scales.select(1, k).contiguous(), columns = b.scales.select(0, k).contiguous();
    for (int64_t m = 0; m < num_rows; ++m)
      for (int64_t n = 0; n < num_columns; ++n) {
        float& sum = sums[m * num_columns + n];
        sum = std::fma(chain.const_data_ptr<float>()[m * num_columns + n],
                       rows.const_data_ptr<float>()[m] * columns.const_data_ptr<float>()[n], sum);
      }
  }
  return out;
}

}  // namespace athanor::kernels::reference
