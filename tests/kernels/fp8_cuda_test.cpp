// Block-scaled FP8 on a GPU: quantising and reading give the bytes of the CPU; products those of the plain
// twin, or of the CPU where that would take too long, within what each way of cuda/fp8_products.h promises.
#include <ATen/ops/concat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <fmt/core.h>

#include "kernels/cuda/fp8_products.h"
#include "kernels/cuda/fp8_tiles.h"
#include "kernels/cuda_plugin.h"
#include "kernels/fp8.h"
#include "kernels/reference/fp8.h"
#include "tests/kernels/cuda_testing.h"
#include "tests/kernels/fp8_testing.h"

namespace athanor::kernels {
namespace {

using namespace testing;
using cuda::Fp8Path;
using cuda::Fp8Product;

/// As whole numbers, of which every one must be equal: NaN too.
at::Tensor bits(const at::Tensor& tensor) {
  if (tensor.scalar_type() == at::kFloat) return tensor.view(at::kInt);
  return tensor.view(tensor.scalar_type() == at::kBFloat16 ? at::kShort : at::kByte);
}
Tensors bits_of_all(const Fp8Matrix& matrix) {
  return {bits(matrix.codes), bits(matrix.scales), bits(matrix.exact)};
}
Fp8Matrix on_gpu(const Fp8Matrix& matrix) {
  Fp8Matrix copy = matrix;
  for (at::Tensor* tensor : {&copy.codes, &copy.scales, &copy.exact}) *tensor = testing::on_gpu(*tensor);
  return copy;
}

TEST(CudaFp8, QuantisesAndReadsTheBytesOfTheCpu) {
  for (const Fp8Case& c : kFp8Cases)
    for (const auto dtype : kComputeTypes)
      for (const Fp8Scale scale : kFp8Scales) {
        const std::string what = describe(c, dtype, scale);
        const at::Tensor x = telling_matrix("x", c.num_rows, c.num_columns, dtype), gx = testing::on_gpu(x);
        const Fp8Options options{.scale = scale};
        const Fp8Matrix expected = quantise(x, c.tiles, options, Fp8Keep::kBoth, c.offsets);
        compare(
            "quantise, " + what, dtype, kExact,
            [&] { return bits_of_all(quantise(gx, c.tiles, options, Fp8Keep::kBoth, c.offsets)); },
            bits_of_all(expected));
        const at::Tensor back = at::empty(x.sizes(), typed(dtype));
        dequantise(back, expected);
        compare("dequantise, make_exact, " + what, dtype, kExact,
                [&]() -> Tensors {
                  Fp8Matrix codes = quantise(gx, c.tiles, options, Fp8Keep::kCodes, c.offsets);
                  const at::Tensor out = poisoned(x.sizes(), dtype);
                  dequantise(out, codes);
                  make_exact(codes);
                  return {bits(out), bits(codes.exact)};
                },
                {bits(back), bits(expected.exact)});
      }
}

TEST(CudaFp8, LargeMatricesAndRowStrides) {
  for (const Fp8Tiles tiles : {Fp8Tiles::kRow, Fp8Tiles::kToken, Fp8Tiles::kBlock})
    for (const auto dtype : kComputeTypes) {
      const at::Tensor x = uneven_matrix("x", 1000, 2080, dtype);
      const Fp8Matrix expected = quantise(x, tiles, {}, Fp8Keep::kBoth);
      compare(
          fmt::format("quantise 1000x2080, tiles {}", static_cast<int>(tiles)), dtype, kExact,
          [&] { return bits_of_all(quantise(testing::on_gpu(x), tiles, {}, Fp8Keep::kBoth)); },
          bits_of_all(expected));
      if (tiles == Fp8Tiles::kBlock) continue;
      const at::Tensor wide = testing::on_gpu(normal("wide", {1000, 2093}, dtype)),
                       part = wide.narrow(1, 5, 2080);
      part.copy_(x);
      compare(
          fmt::format("quantise with row strides, tiles {}", static_cast<int>(tiles)), dtype, kExact,
          [&] { return bits_of_all(quantise(part, tiles, {}, Fp8Keep::kBoth)); }, bits_of_all(expected));
    }
}

TEST(CudaFp8, CodesComeBackFromExactValues) {
  for (const Fp8Case& c : kFp8Cases)
    for (const Fp8Scale scale : kFp8Scales) {
      const Fp8Matrix matrix = quantise(uneven_matrix("x", c.num_rows, c.num_columns, at::kFloat), c.tiles,
                                        {.scale = scale}, Fp8Keep::kBoth, c.offsets);
      Fp8Matrix exact = on_gpu(matrix);
      exact.codes = at::Tensor();
      compare("codes of exact values, " + describe(c, at::kFloat, scale), at::kBFloat16, kExact,
              [&]() -> Tensors { return {bits(cuda::codes_of(exact))}; }, {bits(matrix.codes)});
    }
}

TEST(CudaFp8, SlicesOfAWeight) {
  for (const Fp8Scale kind : kFp8Scales)
    for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{200, 300}, {3, 140, 52}}) {
      const at::Tensor w = normal("w", sizes, at::kBFloat16), flat = testing::on_gpu(w).view({-1});
      const Fp8Matrix expected = quantise(w, Fp8Tiles::kBlock, {.scale = kind}, Fp8Keep::kBoth);
      const auto run = [&]() -> Tensors {
        const at::Tensor scales = at::zeros(fp8_block_scale_shape(sizes), flat.options().dtype(at::kFloat)),
                         codes = at::empty({w.numel()}, flat.options().dtype(at::kFloat8_e4m3fn)),
                         rounded = flat.clone(), decoded = poisoned({w.numel()}, at::kBFloat16);
        const std::vector<int64_t> cuts = {0, 1, 140, 5000, 5000, 12345, w.numel()};
        const auto for_slices = [&](auto body) {
          for (size_t i = 0; i + 1 < cuts.size(); ++i)
            body(WeightSlice{sizes, cuts[i]},
                 [&](const at::Tensor& whole) { return whole.narrow(0, cuts[i], cuts[i + 1] - cuts[i]); });
        };
        for_slices(
            [&](const WeightSlice& place, auto part) { raise_block_magnitudes(scales, part(flat), place); });
        fp8_scales(scales, scales, {.scale = kind});
        for_slices([&](const WeightSlice& place, auto part) {
          encode_block_slice(part(codes), part(flat), scales, place);
          round_block_slice(part(rounded), part(rounded), scales, place, kind);
          decode_block_slice(part(decoded), part(codes), scales, place, kind);
        });
        return {bits(scales), bits(codes).view(sizes), bits(rounded).view(sizes), bits(decoded).view(sizes)};
      };
      compare(fmt::format("slices of a weight of {} dimensions", sizes.size()), at::kBFloat16, kExact, run,
              {bits(expected.scales), bits(expected.codes), bits(expected.exact), bits(expected.exact)});
    }
}

TEST(CudaFp8, TransposedOperands) {
  const at::Tensor codes = whole_numbers("codes", {3, 272, 144}, 256, at::kByte);
  compare("transposed codes", at::kBFloat16, kExact,
          [&]() -> Tensors {
            return {bits(cuda::transposed_codes(testing::on_gpu(codes).view(at::kFloat8_e4m3fn)))};
          },
          {codes.transpose(1, 2).contiguous()});
  const std::vector<int64_t> offsets = {0, 3, 3, 150, 272};
  const at::Tensor tokens = codes[0].contiguous();
  Tensors groups;
  for (size_t e = 0; e + 1 < offsets.size(); ++e) {
    const int64_t count = offsets[e + 1] - offsets[e];
    const at::Tensor group = at::zeros({144, fp8_tiles(count) * kFp8Tile}, typed(at::kByte));
    group.narrow(1, 0, count).copy_(tokens.narrow(0, offsets[e], count).t());
    groups.push_back(group.view({-1}));
  }
  compare("transposed groups of tokens", at::kBFloat16, kExact,
          [&]() -> Tensors {
            const at::Tensor on_device = testing::on_gpu(tokens).view(at::kFloat8_e4m3fn);
            return {bits(cuda::transposed_token_codes(on_device, offsets))};
          },
          {at::concat(groups, 0)});
}

// ---- products
// ------------------------------------------------------------------------------------------------

/// FP8 tensor cores add 128 products in fewer bits than fp32 has; exact products only round as bf16 products
/// do.
double product_tolerance(Fp8Path path, at::ScalarType out) {
  const double sums = path == Fp8Path::kCodes ? 2e-3 : 1e-4;
  return out == at::kBFloat16 ? 4e-3 : sums;
}

struct ProductCase {
  std::vector<int64_t> offsets;
  int64_t num_outputs, num_inputs;
};
// Ragged; what Hopper multiplies as codes, with one expert and with several, some of them empty, rows that
// are no multiple of 4, sums of one tile and of one that is partial.
const ProductCase kProducts[] = {{{0, 7}, 5, 3},
                                 {{0, 131}, 270, 20},
                                 {{0, 256}, 256, 384},
                                 {{0, 1}, 512, 2048},
                                 {{0, 250}, 1408, 2048},
                                 {{0, 130}, 144, 128},
                                 {{0, 130}, 128, 2064},
                                 {{0, 3, 3, 150, 301, 301}, 256, 384},
                                 {{0, 0, 1025, 2050}, 512, 256}};

struct Operands {
  Fp8Matrix x, dy, w, tokens_x, tokens_dy;
};
Operands operands_of(const ProductCase& c, Fp8Scale scale) {
  const int64_t num_experts = static_cast<int64_t>(c.offsets.size()) - 1, num_rows = c.offsets.back();
  const Fp8Options options{.scale = scale}, gradient{.scale = scale, .floor = kFp8GradientFloor};
  const at::Tensor x = normal("x", {num_rows, c.num_inputs}, at::kBFloat16),
                   dy = normal("dy", {num_rows, c.num_outputs}, at::kBFloat16) * 1e-6,
                   w = normal("w", {num_experts, c.num_outputs, c.num_inputs}, at::kBFloat16);
  return {quantise(x, Fp8Tiles::kRow, options, Fp8Keep::kBoth),
          quantise(dy, Fp8Tiles::kRow, gradient, Fp8Keep::kBoth),
          quantise(w, Fp8Tiles::kBlock, options, Fp8Keep::kExact),
          quantise(x, Fp8Tiles::kToken, options, Fp8Keep::kBoth, c.offsets),
          quantise(dy, Fp8Tiles::kToken, gradient, Fp8Keep::kBoth, c.offsets)};
}
Operands on_gpu(const Operands& all) {
  return {on_gpu(all.x), on_gpu(all.dy), on_gpu(all.w), on_gpu(all.tokens_x), on_gpu(all.tokens_dy)};
}

Fp8Path path_here(const ProductCase& c, Fp8Product product, Fp8Scale scale) {
  const bool forward = product == Fp8Product::kForward, by_tokens = product == Fp8Product::kWeightGradient;
  return cuda::fp8_path({.product = product,
                         .scale = scale,
                         .compute_capability = compute_capability(gpu()),
                         .num_experts = static_cast<int64_t>(c.offsets.size()) - 1,
                         .num_rows = by_tokens ? c.num_outputs : c.offsets.back(),
                         .num_columns = forward ? c.num_outputs : c.num_inputs,
                         .num_summed = by_tokens ? c.offsets.back()
                                       : forward ? c.num_inputs
                                                 : c.num_outputs});
}

const char* name_of(Fp8Path path) {
  return path == Fp8Path::kCodes ? "codes" : path == Fp8Path::kFolded ? "folded" : "tiles";
}
std::string describe(const char* operation, const ProductCase& c, Fp8Path path) {
  return fmt::format("{} {} x{} {}x{} ({})", operation, c.offsets.back(), c.offsets.size() - 1, c.num_outputs,
                     c.num_inputs, name_of(path));
}

TEST(CudaFp8, Products) {
  for (const ProductCase& c : kProducts)
    for (const Fp8Scale scale : kFp8Scales) {
      const Operands cpu = operands_of(c, scale), there = on_gpu(cpu);
      const int64_t num_experts = static_cast<int64_t>(c.offsets.size()) - 1, num_rows = c.offsets.back();
      const at::Tensor y = at::empty({num_rows, c.num_outputs}), dx = at::empty({num_rows, c.num_inputs}),
                       dw = at::empty({num_experts, c.num_outputs, c.num_inputs});
      fp8_grouped_matmul_nt(y, cpu.x, cpu.w, c.offsets);
      fp8_grouped_matmul_nn(dx, cpu.dy, cpu.w, c.offsets);
      fp8_grouped_matmul_tn(dw, cpu.tokens_dy, cpu.tokens_x);
      const Fp8Path forward = path_here(c, Fp8Product::kForward, scale),
                    backward = path_here(c, Fp8Product::kInputGradient, scale),
                    by_tokens = path_here(c, Fp8Product::kWeightGradient, scale);
      for (const auto dtype : kComputeTypes) {
        compare(describe("fp8 nt", c, forward), dtype, product_tolerance(forward, dtype),
                [&]() -> Tensors {
                  const at::Tensor out = poisoned(y.sizes(), dtype);
                  fp8_grouped_matmul_nt(out, there.x, there.w, c.offsets);
                  return {out};
                },
                {y});
        compare(
            describe("fp8 nn", c, backward), dtype, product_tolerance(backward, dtype),
            [&]() -> Tensors {
              const at::Tensor out = poisoned(dx.sizes(), dtype);
              fp8_grouped_matmul_nn(out, there.dy, there.w, c.offsets);
              return {out};
            },
            {dx}, 1e-10);
      }
      compare(
          describe("fp8 tn, and accumulated", c, by_tokens), at::kFloat,
          product_tolerance(by_tokens, at::kFloat),
          [&]() -> Tensors {
            const at::Tensor out = poisoned(dw.sizes(), at::kFloat),
                             added = at::full(dw.sizes(), 1e-6, out.options());
            fp8_grouped_matmul_tn(out, there.tokens_dy, there.tokens_x);
            fp8_grouped_matmul_tn(added, there.tokens_dy, there.tokens_x, true);
            return {out, added};
          },
          {dw, dw + 1e-6}, 1e-10);
    }
}

TEST(CudaFp8, TilesInFp32ScalesAreTheChainsOfTheCpu) {
  const ProductCase& c = kProducts[7];
  const Operands cpu = operands_of(c, Fp8Scale::kFp32);
  Operands there = on_gpu(cpu);
  make_exact(there.w);
  const at::Tensor y = at::empty({301, 256}), dw = at::empty({5, 256, 384}), bias = normal("bias", {256});
  fp8_grouped_matmul_nt(y, cpu.x, cpu.w, c.offsets);
  fp8_grouped_matmul_tn(dw, cpu.tokens_dy, cpu.tokens_x);
  compare(
      "tiles, nt with bias and tn", at::kFloat, product_tolerance(Fp8Path::kTiles, at::kFloat),
      [&]() -> Tensors {
        const at::Tensor out = poisoned(y.sizes(), at::kFloat), dw_out = poisoned(dw.sizes(), at::kFloat);
        cuda::tiles_matmul_rows(Fp8Product::kForward, out, there.x, there.w, c.offsets,
                                testing::on_gpu(bias));
        cuda::tiles_matmul_tokens(dw_out, there.tokens_dy, there.tokens_x, false);
        return {out, dw_out};
      },
      {y + bias, dw}, 1e-10);
}

TEST(CudaFp8, LinearLayerAgainstThePlainTwin) {
  for (const Fp8Scale scale : kFp8Scales) {
    const at::Tensor x = normal("x", {64, 256}, at::kBFloat16), w = normal("w", {128, 256}, at::kBFloat16),
                     bias = normal("bias", {128}, at::kBFloat16);
    const Fp8Options options{.scale = scale};
    reference::QuantisedElements rw = reference::quantise(w, Fp8Tiles::kBlock, options);
    rw = {rw.codes.t(), rw.values.t(), rw.scales.t()};
    const at::Tensor expected =
        reference::fp8_product(reference::quantise(x, Fp8Tiles::kRow, options), rw, scale) +
        bias.to(at::kFloat);
    const Fp8Path path = path_here({{0, 64}, 128, 256}, Fp8Product::kForward, scale);
    for (const auto dtype : kComputeTypes)
      compare(fmt::format("fp8 linear layer with bias ({})", name_of(path)), dtype,
              product_tolerance(path, dtype),
              [&]() -> Tensors {
                const at::Tensor out = poisoned(expected.sizes(), dtype);
                fp8_matmul_nt(out, quantise(testing::on_gpu(x), Fp8Tiles::kRow, options),
                              quantise(testing::on_gpu(w), Fp8Tiles::kBlock, options), testing::on_gpu(bias));
                return {out};
              },
              {expected});
  }
}

}  // namespace
}  // namespace athanor::kernels
