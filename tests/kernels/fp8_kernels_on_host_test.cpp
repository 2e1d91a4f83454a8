// The CUDA side of FP8 on this host: its kernels run as fibers (cuda_on_host), on CPU tensors, and must give
// the bytes of kernels/cpu; the products of codes must hand cuBLAS operands whose product is right.
#include <limits>

#include <ATen/ops/full.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros_like.h>

#include "kernels/cuda/fp8_products.h"
#include "kernels/cuda/fp8_tiles.h"
#include "kernels/cuda_plugin.h"
#include "kernels/fp8.h"
#include "tests/kernels/cuda_on_host/cuda_runtime.h"
#include "tests/kernels/fp8_testing.h"
#include "tests/kernels/tensor_testing.h"

namespace athanor::kernels {
namespace {

using namespace testing;

at::Tensor like(const at::Tensor& tensor, at::ScalarType dtype) {
  return at::empty(tensor.sizes(), typed(dtype));
}

/// Runs with threads that take turns in either order.
template <typename Body>
void for_thread_orders(Body body) {
  for (const auto order : {tests::ThreadOrder::kAscending, tests::ThreadOrder::kDescending}) {
    tests::set_thread_order(order);
    SCOPED_TRACE(::testing::Message() << "thread order " << static_cast<int>(order));
    body();
  }
}

/// What the kernels write for the matrix that the CPU has quantised.
Fp8Matrix quantised_on_host(const at::Tensor& x, const Fp8Matrix& expected, const Fp8Options& options) {
  Fp8Matrix to = expected;
  to.codes = at::full(x.sizes(), 0x55, typed(at::kByte)).view(at::kFloat8_e4m3fn);
  to.exact = at::full(x.sizes(), -7.0, typed(at::kBFloat16));
  to.scales = at::full(expected.scales.sizes(), -7.0);
  cuda::quantise_tiles(to, x, options);
  return to;
}

void expect_same(const Fp8Matrix& mine, const Fp8Matrix& expected) {
  EXPECT_TRUE(same_bits(fp8_bytes(mine.codes), fp8_bytes(expected.codes)));
  EXPECT_TRUE(same_bits(mine.scales, expected.scales));
  EXPECT_TRUE(same_bits(mine.exact, expected.exact));
}

TEST(Fp8KernelsOnHost, QuantiseAndReadAsTheCpuDoes) {
  for (const Fp8Case& c : kFp8Cases)
    for (const at::ScalarType dtype : kComputeTypes)
      for (const Fp8Scale scale : kFp8Scales) {
        SCOPED_TRACE(describe(c, dtype, scale));
        const at::Tensor x = telling_matrix("x", c.num_rows, c.num_columns, dtype);
        const Fp8Options options{.scale = scale};
        const Fp8Matrix expected = quantise(x, c.tiles, options, Fp8Keep::kBoth, c.offsets);
        for_thread_orders([&] {
          expect_same(quantised_on_host(x, expected, options), expected);
          for (const at::ScalarType out_type : kComputeTypes)
            for (const bool scaled : {false, true}) {
              const at::Tensor mine = like(x, out_type), theirs = like(x, out_type);
              cuda::decode_tiles(mine, expected, scaled);
              decode_on_cpu(theirs, expected, scaled);
              EXPECT_TRUE(same_bits(mine, theirs)) << c10::toString(out_type) << " scaled " << scaled;
            }
        });
      }
}

TEST(Fp8KernelsOnHost, CodesComeBackFromExactValues) {
  for (const Fp8Case& c : kFp8Cases)
    for (const Fp8Scale scale : kFp8Scales) {
      SCOPED_TRACE(describe(c, at::kFloat, scale));
      Fp8Matrix matrix = quantise(uneven_matrix("x", c.num_rows, c.num_columns, at::kFloat), c.tiles,
                                  {.scale = scale}, Fp8Keep::kBoth, c.offsets);
      const at::Tensor codes = matrix.codes;
      matrix.codes = at::Tensor();
      EXPECT_TRUE(same_bits(fp8_bytes(cuda::codes_of(matrix)), fp8_bytes(codes)));
    }
}

TEST(Fp8KernelsOnHost, RowsMayHaveAStride) {
  const at::Tensor x = uneven_matrix("x", 40, 152, at::kBFloat16);
  for (const int64_t gap : {5, 8})
    for (const Fp8Tiles tiles : {Fp8Tiles::kRow, Fp8Tiles::kToken}) {
      const Fp8Matrix expected = quantise(x, tiles, {}, Fp8Keep::kBoth);
      expect_same(quantised_on_host(with_row_gap(x, gap), expected, {}), expected);
    }
}

TEST(Fp8KernelsOnHost, EmptyMatricesAreNoLaunch) {
  for (const Fp8Tiles tiles : {Fp8Tiles::kRow, Fp8Tiles::kToken}) {
    const at::Tensor x = at::empty({0, 64}), wide = at::empty({0, 64});
    Fp8Matrix to = quantise(x, tiles, {}, Fp8Keep::kBoth);
    cuda::quantise_tiles(to, x, {});
    cuda::decode_tiles(wide, to, true);
  }
}

TEST(Fp8KernelsOnHost, SlicesOfAWeightAreThoseOfTheCpu) {
  for (const Fp8Scale kind : kFp8Scales)
    for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{200, 300}, {3, 140, 52}}) {
      at::Tensor flat = normal("w", {c10::multiply_integers(sizes)}, at::kBFloat16);
      flat[17] = std::numeric_limits<float>::quiet_NaN();
      for (const int64_t cut : {1, 5056, 12345}) {
        SCOPED_TRACE(cut);
        const auto each_side = [&](auto body) {
          body(WeightSlice{sizes, 0}, int64_t{0}, cut);
          body(WeightSlice{sizes, cut}, cut, flat.size(0) - cut);
        };
        const at::Tensor mine = at::zeros(fp8_block_scale_shape(sizes)), theirs = at::zeros_like(mine);
        each_side([&](const WeightSlice& place, int64_t begin, int64_t count) {
          cuda::raise_slice_magnitudes(mine, flat.narrow(0, begin, count), place);
          raise_block_magnitudes(theirs, flat.narrow(0, begin, count), place);
        });
        EXPECT_TRUE(same_bits(mine, theirs));
        cuda::scales_from_magnitudes(mine, mine, {.scale = kind});
        fp8_scales(theirs, theirs, {.scale = kind});
        EXPECT_TRUE(same_bits(mine, theirs));
        each_side([&](const WeightSlice& place, int64_t begin, int64_t count) {
          const at::Tensor slice = flat.narrow(0, begin, count);
          const at::Tensor codes = like(slice, at::kFloat8_e4m3fn), cpu_codes = at::empty_like(codes);
          cuda::write_slice({Fp8Tiles::kBlock, kind, codes, mine, {}, {}}, slice, place);
          encode_block_slice(cpu_codes, slice, theirs, place);
          EXPECT_TRUE(same_bits(fp8_bytes(codes), fp8_bytes(cpu_codes)));
          const at::Tensor rounded = slice.clone(), cpu_rounded = slice.clone();
          cuda::write_slice({Fp8Tiles::kBlock, kind, {}, mine, rounded, {}}, rounded, place);
          round_block_slice(cpu_rounded, cpu_rounded, theirs, place, kind);
          EXPECT_TRUE(same_bits(rounded, cpu_rounded));
          const at::Tensor decoded = at::empty_like(slice), cpu_decoded = at::empty_like(slice);
          cuda::decode_slice(decoded, {Fp8Tiles::kBlock, kind, codes, mine, {}, {}}, place);
          decode_block_slice(cpu_decoded, codes, theirs, place, kind);
          EXPECT_TRUE(same_bits(decoded, cpu_decoded));
        });
      }
    }
}

// ---- operands of products
// --------------------------------------------------------------------------------------

at::Tensor random_codes(const std::string& name, const std::vector<int64_t>& sizes) {
  return whole_numbers(name, sizes, 256, at::kByte).view(at::kFloat8_e4m3fn);
}

TEST(Fp8KernelsOnHost, TransposeMatrices) {
  for (const std::vector<int64_t>& sizes :
       {std::vector<int64_t>{1, 128, 64}, {2, 272, 48}, {3, 16, 80}, {1, 132, 4}, {2, 4, 300}}) {
    const at::Tensor codes = random_codes("codes", sizes);
    for_thread_orders([&] {
      EXPECT_TRUE(
          same_bits(fp8_bytes(cuda::transposed_codes(codes)), fp8_bytes(codes).transpose(1, 2).contiguous()))
          << sizes[0] << "x" << sizes[1] << "x" << sizes[2];
    });
  }
}

TEST(Fp8KernelsOnHost, TransposeGroupsOfTokens) {
  const int64_t num_columns = 144;
  for (const std::vector<int64_t>& offsets :
       {std::vector<int64_t>{0, 1}, {0, 256}, {0, 0, 130, 130, 133, 400}, {0, 127, 256, 257}}) {
    const at::Tensor codes = random_codes("codes", {offsets.back(), num_columns});
    const at::Tensor mine = fp8_bytes(cuda::transposed_token_codes(codes, offsets));
    int64_t begin = 0;
    for (size_t e = 0; e + 1 < offsets.size(); ++e) {
      const int64_t count = offsets[e + 1] - offsets[e], padded = fp8_tiles(count) * kFp8Tile;
      const at::Tensor group = mine.narrow(0, begin, num_columns * padded).view({num_columns, padded});
      EXPECT_TRUE(same_bits(group.narrow(1, 0, count),
                            fp8_bytes(codes).narrow(0, offsets[e], count).t().contiguous()));
      EXPECT_EQ(group.narrow(1, count, padded - count).to(at::kLong).sum().item<int64_t>(), 0);
      begin += num_columns * padded;
    }
    EXPECT_EQ(begin, mine.size(0));
  }
}

/// What cuBLAS wants of one product, and the product itself in fp32.
void multiply_on_host(const cuda::CodesProduct& p) {
  const int64_t num_rows = p.a_MK.size(0), depth = p.a_MK.size(1), num_columns = p.b_NK.size(0);
  EXPECT_EQ(num_rows % 4, 0);
  EXPECT_EQ(depth % 16, 0);
  EXPECT_EQ(num_columns % 16, 0);
  EXPECT_TRUE(p.a_MK.is_contiguous() && p.b_NK.is_contiguous() && p.out_MN.is_contiguous());
  for (const auto& [scales, rows] : {std::pair{p.a_scales_MC, num_rows}, {p.b_scales_NC, num_columns}}) {
    EXPECT_EQ(scales.sizes(), at::IntArrayRef({rows, fp8_tiles(depth)}));
    EXPECT_EQ(scales.strides(), at::IntArrayRef({1, rows}));
  }
  const auto values = [&](const at::Tensor& codes, const at::Tensor& scales) {
    const at::Tensor out = at::empty(codes.sizes());
    dequantise(out, {Fp8Tiles::kRow, Fp8Scale::kFp32, codes, scales.contiguous(), {}, {}});
    return out;
  };
  p.out_MN.copy_(at::matmul(values(p.a_MK, p.a_scales_MC), values(p.b_NK, p.b_scales_NC).t()));
}

constexpr double kSumTolerance = 1e-5;

void expect_products_of_rows(int64_t num_outputs, int64_t num_inputs) {
  for (const std::vector<int64_t>& offsets :
       {std::vector<int64_t>{0, 5}, {0, 64}, {0, 3, 3, 150, 301, 301}, {0, 1, 2, 4, 7}, {0, 0, 2}})
    for (const Fp8Scale scale : kFp8Scales) {
      SCOPED_TRACE(::testing::Message() << offsets.size() - 1 << " experts, " << offsets.back() << " rows");
      const int64_t num_experts = static_cast<int64_t>(offsets.size()) - 1, num_rows = offsets.back();
      const at::Tensor x = normal("x", {num_rows, num_inputs}, at::kBFloat16),
                       dy = normal("dy", {num_rows, num_outputs}, at::kBFloat16),
                       bias = normal("bias", {num_outputs});
      const Fp8Matrix w = quantise(normal("w", {num_experts, num_outputs, num_inputs}), Fp8Tiles::kBlock,
                                   {.scale = scale}, Fp8Keep::kExact);
      const Fp8Matrix qx = quantise(x, Fp8Tiles::kRow, {.scale = scale}),
                      qdy = quantise(dy, Fp8Tiles::kRow, {.scale = scale}, Fp8Keep::kExact);
      const at::Tensor y = at::zeros({num_rows, num_outputs}), dx = at::zeros({num_rows, num_inputs}),
                       with_bias = at::zeros_like(y), expected_y = at::empty_like(y),
                       expected_dx = at::empty_like(dx);
      fp8_grouped_matmul_nt(expected_y, qx, w, offsets);
      fp8_grouped_matmul_nn(expected_dx, qdy, w, offsets);
      using cuda::Fp8Product;
      cuda::codes_matmul_rows(Fp8Product::kForward, y, qx, w, offsets, std::nullopt, multiply_on_host);
      cuda::codes_matmul_rows(Fp8Product::kForward, with_bias, qx, w, offsets, bias, multiply_on_host);
      cuda::codes_matmul_rows(Fp8Product::kInputGradient, dx, qdy, w, offsets, std::nullopt,
                              multiply_on_host);
      EXPECT_TRUE(near(y, expected_y, kSumTolerance));
      EXPECT_TRUE(near(with_bias, expected_y + bias, kSumTolerance));
      EXPECT_TRUE(near(dx, expected_dx, kSumTolerance));
      // Rows of a wider matrix, as rows of out may be.
      const at::Tensor wide = at::zeros({num_rows, num_outputs + 8}), part = wide.narrow(1, 0, num_outputs);
      cuda::codes_matmul_rows(Fp8Product::kForward, part, qx, w, offsets, std::nullopt, multiply_on_host);
      EXPECT_TRUE(near(part, expected_y, kSumTolerance));
      EXPECT_EQ(wide.narrow(1, num_outputs, 8).abs().max().item<float>(), 0.0f);
    }
}

TEST(Fp8CodesProducts, RowsOfExpertsTimesTheirWeights) {
  expect_products_of_rows(128, 256);
  expect_products_of_rows(144, 128);  // one tile of a sum, rows of a partial block
}

TEST(Fp8CodesProducts, WeightGradients) {
  const int64_t num_outputs = 144, num_inputs = 272;
  for (const std::vector<int64_t>& offsets :
       {std::vector<int64_t>{0, 5}, {0, 256}, {0, 3, 3, 150, 301, 301}, {0, 0, 2}})
    for (const Fp8Scale scale : kFp8Scales) {
      const int64_t num_experts = static_cast<int64_t>(offsets.size()) - 1, num_rows = offsets.back();
      const auto tokens = [&](const std::string& name, int64_t num_columns, Fp8Keep keep) {
        return quantise(normal(name, {num_rows, num_columns}, at::kBFloat16), Fp8Tiles::kToken,
                        {.scale = scale}, keep, offsets);
      };
      const Fp8Matrix dy = tokens("dy", num_outputs, Fp8Keep::kCodes),
                      x = tokens("x", num_inputs, Fp8Keep::kExact);
      for (const bool accumulate : {false, true}) {
        const at::Tensor start = at::full({num_experts, num_outputs, num_inputs}, 0.25);
        const at::Tensor dw = start.clone(), expected = start.clone();
        fp8_grouped_matmul_tn(expected, dy, x, accumulate);
        cuda::codes_matmul_tokens(dw, dy, x, accumulate, multiply_on_host);
        EXPECT_TRUE(near(dw, expected, kSumTolerance)) << "accumulate " << accumulate;
      }
    }
}

TEST(Fp8CodesProducts, GoWhereDeviceAndShapeAllow) {
  using cuda::Fp8Path;
  using cuda::Fp8Product;
  const cuda::Fp8ProductFacts dense{.product = Fp8Product::kForward,
                                    .scale = Fp8Scale::kPowerOfTwo,
                                    .compute_capability = 90,
                                    .num_rows = 4096,
                                    .num_columns = 2816,
                                    .num_summed = 2048};
  struct Case {
    const char* what;
    std::function<void(cuda::Fp8ProductFacts&)> change;
    Fp8Path power_of_two, fp32;
  };
  const Case cases[] = {
      {"a linear layer", [](auto&) {}, Fp8Path::kCodes, Fp8Path::kCodes},
      {"one row", [](auto& f) { f.num_rows = 1; }, Fp8Path::kCodes, Fp8Path::kCodes},
      {"Ampere", [](auto& f) { f.compute_capability = 80; }, Fp8Path::kFolded, Fp8Path::kTiles},
      {"Blackwell", [](auto& f) { f.compute_capability = 100; }, Fp8Path::kFolded, Fp8Path::kTiles},
      {"a ragged sum", [](auto& f) { f.num_summed = 2064; }, Fp8Path::kFolded, Fp8Path::kTiles},
      {"ragged columns", [](auto& f) { f.num_columns = 2820; }, Fp8Path::kFolded, Fp8Path::kTiles},
      {"few rows for many experts", [](auto& f) { f.num_experts = 64; }, Fp8Path::kFolded, Fp8Path::kCodes},
      {"enough rows for experts",
       [](auto& f) {
         f.num_experts = 8;
         f.num_rows = 8192;
       },
       Fp8Path::kCodes, Fp8Path::kCodes},
      {"a weight gradient of ragged tokens",
       [](auto& f) {
         f.product = Fp8Product::kWeightGradient;
         f.num_summed = 4097;
       },
       Fp8Path::kCodes, Fp8Path::kCodes},
      {"a weight gradient of ragged features",
       [](auto& f) {
         f.product = Fp8Product::kWeightGradient;
         f.num_rows = 72;
       },
       Fp8Path::kFolded, Fp8Path::kTiles},
      {"weight gradients of few tokens",
       [](auto& f) {
         f.product = Fp8Product::kWeightGradient;
         f.num_experts = 8;
       },
       Fp8Path::kFolded, Fp8Path::kCodes},
  };
  for (const Case& c : cases)
    for (const Fp8Scale scale : kFp8Scales) {
      cuda::Fp8ProductFacts facts = dense;
      facts.scale = scale;
      c.change(facts);
      EXPECT_EQ(cuda::fp8_path(facts), scale == Fp8Scale::kPowerOfTwo ? c.power_of_two : c.fp32) << c.what;
    }
}

TEST(Fp8KernelsOnHost, AddScaledIsAFusedMultiplyAdd) {
  const at::Tensor part = normal("part", {37, 50}), start = normal("start", {37, 50}),
                   rows = normal("rows", {37}), columns = normal("columns", {25});
  const at::Tensor sums = start.clone();
  launch_cuda("add_scaled", sums, cuda_plugin().add_scaled,
              AthanorCudaAddScaled{sums.mutable_data_ptr<float>(),
                                   part.const_data_ptr<float>(),
                                   37,
                                   50,
                                   {rows.const_data_ptr<float>(), 1, 1},
                                   {columns.const_data_ptr<float>(), 4, 2}});
  for (int64_t i = 0; i < sums.numel(); ++i) {
    const float scale =
        rows.const_data_ptr<float>()[i / 50] * columns.const_data_ptr<float>()[i % 50 / 4 * 2];
    EXPECT_EQ(sums.const_data_ptr<float>()[i],
              std::fma(part.const_data_ptr<float>()[i], scale, start.const_data_ptr<float>()[i]));
  }
}

}  // namespace
}  // namespace athanor::kernels
