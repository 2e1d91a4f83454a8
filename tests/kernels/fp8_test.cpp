// Block-scaled FP8 against its plain twin: every code, scale and (where products are our own chains) sum has
// equal bits, for every kind of tile, number of threads and instruction set that runs here.
#include "kernels/fp8.h"

#include <cstring>
#include <limits>

#include <ATen/ops/full.h>
#include <ATen/ops/zeros_like.h>

#include "core/error.h"
#include "kernels/cpu/fp8_rows.h"
#include "kernels/cpu/processor.h"
#include "kernels/cpu/tile_engine.h"
#include "kernels/ops.h"
#include "kernels/reference/fp8.h"
#include "tests/kernels/fp8_testing.h"
#include "tests/kernels/tensor_testing.h"

namespace athanor::kernels {
namespace {

using namespace testing;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN(),
                kInfinity = std::numeric_limits<float>::infinity();

/// The scale of every element, as the twin gives it.
at::Tensor element_scales(const Fp8Matrix& matrix) {
  const at::Tensor out = at::empty(matrix.codes.sizes());
  Fp8Matrix ones = matrix;
  ones.codes = at::full(matrix.codes.sizes(), 0x38, typed(at::kByte)).view(at::kFloat8_e4m3fn);
  dequantise(out, ones);
  return out;
}

void expect_quantised(const Fp8Matrix& got, const reference::QuantisedElements& expected) {
  EXPECT_TRUE(same_bits(fp8_bytes(got.codes), expected.codes));
  EXPECT_TRUE(same_bits(element_scales(got), expected.scales));
  const at::Tensor wide = at::empty(expected.values.sizes());
  dequantise(wide, got);
  EXPECT_TRUE(same_bits(wide, expected.values * expected.scales));
  const bool folds = got.scale == Fp8Scale::kPowerOfTwo;
  const at::Tensor exact = folds ? expected.values * expected.scales : expected.values;
  EXPECT_TRUE(same_bits(got.exact, exact.to(at::kBFloat16)));
  EXPECT_TRUE(same_bits(got.exact.to(at::kFloat), exact)) << "not exact in bf16";
}

TEST(Fp8, QuantisesAsTheTwinDoes) {
  for (const Fp8Case& c : kFp8Cases)
    for (const at::ScalarType dtype : kComputeTypes)
      for (const Fp8Scale scale : kFp8Scales) {
        SCOPED_TRACE(describe(c, dtype, scale));
        const at::Tensor x = uneven_matrix("x", c.num_rows, c.num_columns, dtype);
        const Fp8Options options{.scale = scale};
        const auto expected = reference::quantise(x, c.tiles, options, c.offsets);
        for_thread_counts([&] {
          const Fp8Matrix both = quantise(x, c.tiles, options, Fp8Keep::kBoth, c.offsets);
          expect_quantised(both, expected);
          Fp8Matrix codes = quantise(x, c.tiles, options, Fp8Keep::kCodes, c.offsets);
          EXPECT_FALSE(codes.exact.defined());
          make_exact(codes);
          EXPECT_TRUE(same_bits(codes.exact, both.exact));
          const Fp8Matrix exact = quantise(x, c.tiles, options, Fp8Keep::kExact, c.offsets);
          EXPECT_FALSE(exact.codes.defined());
          EXPECT_TRUE(same_bits(exact.exact, both.exact));
        });
      }
}

TEST(Fp8, RowsMayHaveAStride) {
  const at::Tensor x = uneven_matrix("x", 40, 150, at::kBFloat16), wide = with_row_gap(x, 5);
  for (const Fp8Tiles tiles : {Fp8Tiles::kRow, Fp8Tiles::kToken})
    EXPECT_TRUE(same_bits(fp8_bytes(quantise(wide, tiles).codes), fp8_bytes(quantise(x, tiles).codes)));
}

TEST(Fp8, ALowFloorKeepsSmallGradients) {
  const at::Tensor dy = normal("dy", {4, 128}) * 1e-10;
  const at::Tensor back = at::empty_like(dy);
  dequantise(back, quantise(dy, Fp8Tiles::kRow, {.floor = kFp8GradientFloor}));
  EXPECT_TRUE(near(back * 1e10, dy * 1e10, 1.0 / 16));
  dequantise(back, quantise(dy, Fp8Tiles::kRow));
  EXPECT_FALSE(near(back * 1e10, dy * 1e10, 1.0 / 16)) << "the usual floor should have lost them";
}

TEST(Fp8, NanAndInfinityTakeTheirWholeTile) {
  for (const float bad : {kNan, kInfinity, -kInfinity})
    for (const Fp8Scale scale : kFp8Scales) {
      at::Tensor x = normal("x", {130, 130});
      x[129][7] = bad;
      const at::Tensor back = at::empty_like(x);
      for (const Fp8Tiles tiles : {Fp8Tiles::kRow, Fp8Tiles::kToken, Fp8Tiles::kBlock}) {
        dequantise(back, quantise(x, tiles, {.scale = scale}));
        for (const auto& [t, d] : {std::pair{129, 7}, {128, 7}, {129, 8}, {127, 7}, {129, 128}}) {
          const bool in_tile = tiles == Fp8Tiles::kRow     ? t == 129 && d < 128
                               : tiles == Fp8Tiles::kToken ? t >= 128 && d == 7
                                                           : t >= 128 && d < 128;
          EXPECT_EQ(std::isnan(back[t][d].item<float>()), in_tile) << t << " " << d;
        }
      }
    }
}

TEST(Fp8, RowsThatTravel) {
  const at::Tensor x = uneven_matrix("x", 33, 300, at::kBFloat16);
  const at::Tensor codes = at::empty({33, 300}, typed(at::kFloat8_e4m3fn)), scales = at::empty({33, 3});
  quantise_rows(codes, scales, x, {.scale = Fp8Scale::kFp32});
  const Fp8Matrix expected = quantise(x, Fp8Tiles::kRow, {.scale = Fp8Scale::kFp32});
  EXPECT_TRUE(same_bits(fp8_bytes(codes), fp8_bytes(expected.codes)));
  EXPECT_TRUE(same_bits(scales, expected.scales));
  const at::Tensor back = at::empty({33, 300}, typed(at::kBFloat16)), expected_back = at::empty_like(back);
  dequantise_rows(back, codes, scales);
  dequantise(expected_back, expected);
  EXPECT_TRUE(same_bits(back, expected_back));
  // A row's bits depend on that row alone.
  const at::Tensor one_code = at::empty({1, 300}, typed(at::kFloat8_e4m3fn)), one_scale = at::empty({1, 3});
  quantise_rows(one_code, one_scale, x.narrow(0, 12, 1), {.scale = Fp8Scale::kFp32});
  EXPECT_TRUE(same_bits(fp8_bytes(one_code), fp8_bytes(codes.narrow(0, 12, 1))));
}

TEST(Fp8, SlicesOfAWeightMakeTheWholeWeight) {
  for (const Fp8Scale kind : kFp8Scales)
    for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{200, 300}, {3, 140, 50}}) {
      const at::Tensor w = normal("w", sizes, at::kBFloat16), flat = w.view({-1});
      const Fp8Matrix expected = quantise(w, Fp8Tiles::kBlock, {.scale = kind}, Fp8Keep::kBoth);
      for_thread_counts([&] {
        const at::Tensor scales = at::zeros(fp8_block_scale_shape(sizes));
        const at::Tensor codes = at::empty({w.numel()}, typed(at::kFloat8_e4m3fn));
        const at::Tensor rounded = flat.clone(), decoded = at::empty_like(flat);
        const auto for_slices = [&](auto body) {
          const std::vector<int64_t> cuts = {0, 1, 140, 5000, 5000, 12345, w.numel()};
          for (size_t i = 0; i + 1 < cuts.size(); ++i) {
            const auto part = [&](const at::Tensor& whole) {
              return whole.narrow(0, cuts[i], cuts[i + 1] - cuts[i]);
            };
            body(WeightSlice{sizes, cuts[i]}, part);
          }
        };
        for_slices(
            [&](const WeightSlice& place, auto part) { raise_block_magnitudes(scales, part(flat), place); });
        fp8_scales(scales, scales, {.scale = kind});
        EXPECT_TRUE(same_bits(scales, expected.scales));
        for_slices([&](const WeightSlice& place, auto part) {
          encode_block_slice(part(codes), part(flat), scales, place);
          round_block_slice(part(rounded), part(rounded), scales, place, kind);
          decode_block_slice(part(decoded), part(codes), scales, place, kind);
        });
        EXPECT_TRUE(same_bits(fp8_bytes(codes).view(sizes), fp8_bytes(expected.codes)));
        EXPECT_TRUE(same_bits(rounded.view(sizes), expected.exact));
        EXPECT_TRUE(same_bits(decoded.view(sizes), expected.exact));
      });
    }
}

// ---- products
// ------------------------------------------------------------------------------------------------

/// Equal bits where the chain is ours; else equal within rounding.
void expect_sums(const at::Tensor& out, const at::Tensor& expected) {
  if (cpu::tile_engine())
    EXPECT_LT(largest_error(out, expected), out.scalar_type() == at::kBFloat16 ? 1e-2 : 1e-4);
  else
    EXPECT_TRUE(same_bits(out, expected.to(out.scalar_type()))) << largest_error(out, expected);
}

reference::QuantisedElements transposed(const reference::QuantisedElements& x) {
  return {x.codes.t(), x.values.t(), x.scales.t()};
}

struct Shape {
  int64_t num_tokens, num_outputs, num_inputs;
};
constexpr Shape kShapes[] = {{1, 1, 1}, {3, 130, 257}, {70, 40, 300}, {131, 270, 20}, {260, 33, 129}};

TEST(Fp8Products, EqualTheChains) {
  for (const Shape& s : kShapes)
    for (const Fp8Scale scale : kFp8Scales) {
      SCOPED_TRACE(fmt::format("T {} N {} K {} scale {}", s.num_tokens, s.num_outputs, s.num_inputs,
                               static_cast<int>(scale)));
      const Fp8Options options{.scale = scale}, gradient{.scale = scale, .floor = kFp8GradientFloor};
      const at::Tensor x = normal("x", {s.num_tokens, s.num_inputs}, at::kBFloat16),
                       dy = normal("dy", {s.num_tokens, s.num_outputs}, at::kBFloat16) * 1e-6,
                       w = normal("w", {s.num_outputs, s.num_inputs}, at::kBFloat16),
                       bias = normal("b", {s.num_outputs}, at::kBFloat16),
                       start = normal("start", {s.num_outputs, s.num_inputs});
      const auto rx = reference::quantise(x, Fp8Tiles::kRow, options),
                 tx = reference::quantise(x, Fp8Tiles::kToken, options);
      const auto rdy = reference::quantise(dy, Fp8Tiles::kRow, gradient),
                 tdy = reference::quantise(dy, Fp8Tiles::kToken, gradient);
      const auto rw = reference::quantise(w, Fp8Tiles::kBlock, options);
      const at::Tensor y = reference::fp8_product(rx, transposed(rw), scale),
                       dx = reference::fp8_product(rdy, rw, scale);
      const at::Tensor dw = reference::fp8_product(transposed(tdy), tx, scale),
                       added = reference::fp8_product(transposed(tdy), tx, scale, start);
      const Fp8Matrix qw = quantise(w, Fp8Tiles::kBlock, options);
      for_thread_counts([&] {
        for (const at::ScalarType dtype : kComputeTypes) {
          const at::Tensor out = at::empty({s.num_tokens, s.num_outputs}, typed(dtype)),
                           din = at::empty({s.num_tokens, s.num_inputs}, typed(dtype));
          fp8_matmul_nt(out, quantise(x, Fp8Tiles::kRow, options), qw);
          expect_sums(out, y);
          fp8_matmul_nt(out, quantise(x, Fp8Tiles::kRow, options, Fp8Keep::kExact), qw, bias);
          expect_sums(out, y + bias.to(at::kFloat));
          fp8_matmul_nn(din, quantise(dy, Fp8Tiles::kRow, gradient), qw);
          expect_sums(din, dx);
        }
        const Fp8Matrix qdy = quantise(dy, Fp8Tiles::kToken, gradient),
                        qx = quantise(x, Fp8Tiles::kToken, options);
        const at::Tensor out = start.clone();
        fp8_matmul_tn(out, qdy, qx, /*accumulate=*/true);
        expect_sums(out, added);
        fp8_matmul_tn(out, qdy, qx);
        expect_sums(out, dw);
      });
    }
}

TEST(Fp8Products, ARowsBitsDoNotDependOnTheBatch) {
  const at::Tensor x = normal("x", {301, 290}, at::kBFloat16);
  for (const Fp8Scale scale : kFp8Scales) {
    const Fp8Matrix w = quantise(normal("w", {75, 290}, at::kBFloat16), Fp8Tiles::kBlock, {.scale = scale});
    const at::Tensor whole = at::empty({301, 75});
    fp8_matmul_nt(whole, quantise(x, Fp8Tiles::kRow, {.scale = scale}), w);
    for (const auto& [begin, count] : {std::pair{0, 1}, {1, 7}, {150, 100}, {201, 100}}) {
      const at::Tensor part = at::empty({count, 75});
      fp8_matmul_nt(part, quantise(x.narrow(0, begin, count), Fp8Tiles::kRow, {.scale = scale}), w);
      EXPECT_TRUE(same_bits(part, whole.narrow(0, begin, count))) << count << " rows from " << begin;
    }
  }
}

TEST(Fp8Products, GroupedEqualsOneProductPerExpert) {
  const std::vector<int64_t> offsets = {0, 3, 3, 150, 301, 301};
  const int64_t num_experts = 5, num_rows = 301, num_outputs = 140, num_inputs = 150;
  for (const Fp8Scale scale : kFp8Scales) {
    const Fp8Options options{.scale = scale};
    const at::Tensor x = normal("x", {num_rows, num_inputs}, at::kBFloat16),
                     dy = normal("dy", {num_rows, num_outputs}, at::kBFloat16),
                     w = normal("w", {num_experts, num_outputs, num_inputs}, at::kBFloat16);
    const Fp8Matrix qw = quantise(w, Fp8Tiles::kBlock, options);
    for_thread_counts([&] {
      const at::Tensor y = at::empty_like(dy), dx = at::empty_like(x);
      const at::Tensor dw = at::empty({num_experts, num_outputs, num_inputs}),
                       sum = at::full(dw.sizes(), 0.25);
      fp8_grouped_matmul_nt(y, quantise(x, Fp8Tiles::kRow, options), qw, offsets);
      fp8_grouped_matmul_nn(dx, quantise(dy, Fp8Tiles::kRow, options), qw, offsets);
      const auto tokens = [&](const at::Tensor& rows) {
        return quantise(rows, Fp8Tiles::kToken, options, Fp8Keep::kExact, offsets);
      };
      fp8_grouped_matmul_tn(dw, tokens(dy), tokens(x));
      fp8_grouped_matmul_tn(sum, tokens(dy), tokens(x), /*accumulate=*/true);
      for (int64_t e = 0; e < num_experts; ++e) {
        const int64_t begin = offsets[e], count = offsets[e + 1] - begin;
        const at::Tensor rows = x.narrow(0, begin, count), drows = dy.narrow(0, begin, count);
        const Fp8Matrix one_w = quantise(w[e], Fp8Tiles::kBlock, options);
        const at::Tensor one_y = at::empty_like(drows), one_dx = at::empty_like(rows),
                         one_dw = at::empty({num_outputs, num_inputs}),
                         one_sum = at::full(one_dw.sizes(), 0.25);
        fp8_matmul_nt(one_y, quantise(rows, Fp8Tiles::kRow, options), one_w);
        fp8_matmul_nn(one_dx, quantise(drows, Fp8Tiles::kRow, options), one_w);
        fp8_matmul_tn(one_dw, quantise(drows, Fp8Tiles::kToken, options),
                      quantise(rows, Fp8Tiles::kToken, options));
        fp8_matmul_tn(one_sum, quantise(drows, Fp8Tiles::kToken, options),
                      quantise(rows, Fp8Tiles::kToken, options), true);
        EXPECT_TRUE(same_bits(y.narrow(0, begin, count), one_y)) << e;
        EXPECT_TRUE(same_bits(dx.narrow(0, begin, count), one_dx)) << e;
        EXPECT_TRUE(same_bits(dw[e], one_dw)) << e;
        EXPECT_TRUE(same_bits(sum[e], one_sum)) << e;
      }
    });
  }
}

TEST(Fp8, WrongArgumentsAreNamed) {
  const at::Tensor x = at::zeros({3, 8}), w = at::zeros({4, 8}), out = at::zeros({3, 4});
  const Fp8Matrix qx = quantise(x, Fp8Tiles::kRow), qw = quantise(w, Fp8Tiles::kBlock);
  fp8_matmul_nt(out, qx, qw);
  EXPECT_THROW(fp8_matmul_nt(at::zeros({3, 5}), qx, qw), core::InternalError);
  EXPECT_THROW(fp8_matmul_nt(out, qw, qw), core::InternalError);
  EXPECT_THROW(fp8_matmul_nt(out, quantise(x, Fp8Tiles::kRow, {.scale = Fp8Scale::kFp32}), qw),
               core::InternalError);
  EXPECT_THROW(fp8_matmul_nt(out, Fp8Matrix(), qw), core::InternalError);
  EXPECT_THROW(fp8_matmul_tn(at::zeros({4, 8}), quantise(out, Fp8Tiles::kToken),
                             quantise(x, Fp8Tiles::kToken, {}, Fp8Keep::kCodes, {0, 2, 3})),
               core::InternalError);
  EXPECT_THROW(quantise(x.to(at::kDouble), Fp8Tiles::kRow), core::InternalError);
  EXPECT_THROW(quantise(x.view({1, 3, 8}), Fp8Tiles::kRow), core::InternalError);
  EXPECT_THROW(quantise(x, Fp8Tiles::kToken, {}, Fp8Keep::kCodes, {0, 4}), core::InternalError);
  EXPECT_THROW(dequantise(at::zeros({3, 8}), quantise(x, Fp8Tiles::kRow, {}, Fp8Keep::kExact)),
               core::InternalError);
  EXPECT_THROW(encode_block_slice(qw.codes.view({-1}).narrow(0, 0, 24), x.view({-1}), qw.scales, {{4, 8}, 9}),
               core::InternalError);
  EXPECT_THROW(raise_block_magnitudes(at::zeros({2, 1}), x.view({-1}), {{4, 8}, 0}), core::InternalError);
}

// ---- the vector code, on every instruction set that runs here
// ------------------------------------------------------

std::vector<const cpu::Fp8Table<float>*> runnable_tables() {
  std::vector<const cpu::Fp8Table<float>*> tables = {&cpu::portable::kFp8TableF32};
  if (cpu::processor_isa() >= cpu::Isa::kAvx2) tables.push_back(&cpu::avx2::kFp8TableF32);
  if (cpu::processor_isa() >= cpu::Isa::kAvx512) tables.push_back(&cpu::avx512::kFp8TableF32);
  return tables;
}

/// Every code's value, what lies halfway between neighbours and just beside, and what is too large.
std::vector<float> telling_values() {
  std::vector<float> values = {0.0f,      -0.0f,      448,  464,   1e9f,   -1e30f,
                               kInfinity, -kInfinity, kNan, -kNan, 1e-45f, 9.7e-4f};
  for (int code = 0; code < 0x7e; ++code) {
    const float low = reference::fp8_value(static_cast<uint8_t>(code)),
                high = reference::fp8_value(static_cast<uint8_t>(code + 1)), middle = (low + high) / 2;
    for (const float value : {low, middle, std::nextafter(middle, 0.0f), std::nextafter(middle, 500.0f)}) {
      values.push_back(value);
      values.push_back(-value);
    }
  }
  return values;
}

TEST(Fp8Rows, EveryInstructionSetGivesTheNearestCode) {
  const std::vector<float> values = telling_values();
  const auto count = static_cast<int64_t>(values.size());
  for (const cpu::Fp8Table<float>* table : runnable_tables()) {
    std::vector<uint8_t> codes(values.size());
    std::vector<cpu::Bf16> rounded(values.size()), decoded(values.size());
    table->encode(codes.data(), values.data(), 1.0f, count);
    table->round(rounded.data(), values.data(), 1.0f, 1.0f, count);
    cpu::fp8_table<cpu::Bf16>().decode(decoded.data(), codes.data(), 1.0f, count);
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(codes[i], reference::fp8_code(values[i])) << values[i];
      ASSERT_EQ(rounded[i].bits, decoded[i].bits) << values[i];
    }
  }
}

TEST(Fp8Rows, EveryInstructionSetReadsEveryCode) {
  std::vector<uint8_t> codes(256);
  for (size_t i = 0; i < 256; ++i) codes[i] = static_cast<uint8_t>(i);
  for (const cpu::Fp8Table<float>* table : runnable_tables()) {
    std::vector<float> values(256);
    table->decode(values.data(), codes.data(), 1.0f, 256);
    for (size_t i = 0; i < 256; ++i) {
      const float expected = reference::fp8_value(static_cast<uint8_t>(i));
      if (std::isnan(expected))
        EXPECT_TRUE(std::isnan(values[i])) << i;
      else
        EXPECT_EQ(std::memcmp(&values[i], &expected, sizeof(float)), 0) << i << ": " << values[i];
    }
  }
}

TEST(Fp8Rows, LargestMagnitudesKeepNan) {
  for (const cpu::Fp8Table<float>* table : runnable_tables())
    for (const int64_t count : {1, 15, 16, 37}) {
      std::vector<float> x(static_cast<size_t>(count), 0.5f), largest(x.size(), 0.25f);
      x.back() = -3.0f;
      EXPECT_EQ(table->largest_magnitude(x.data(), count), 3.0f);
      table->raise_magnitudes(largest.data(), x.data(), count);
      EXPECT_EQ(largest.back(), 3.0f);
      x.front() = kNan;
      EXPECT_TRUE(std::isnan(table->largest_magnitude(x.data(), count)));
      table->raise_magnitudes(largest.data(), x.data(), count);
      x.front() = 1e30f;
      table->raise_magnitudes(largest.data(), x.data(), count);
      EXPECT_TRUE(std::isnan(largest.front()));
    }
}

}  // namespace
}  // namespace athanor::kernels
