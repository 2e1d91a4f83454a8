#include "kernels/fp8.h"

#include <algorithm>

#include "core/error.h"
#include "kernels/checks.h"
#include "kernels/cpu/fp8_tiles.h"
#include "kernels/cpu/tensor_data.h"
#include "kernels/cuda/fp8_products.h"
#include "kernels/cuda/fp8_tiles.h"
#include "kernels/cuda_plugin.h"

namespace athanor::kernels {
namespace {

void check_source(const Checker& check, const at::Tensor& x, Fp8Tiles tiles) {
  check.compute_dtype("x", x);
  if (tiles == Fp8Tiles::kBlock && x.dim() == 3) {
    check.contiguous("x", x);
  } else {
    check.dim("x", x, 2);
    check.rows_contiguous("x", x);
    if (tiles == Fp8Tiles::kBlock) check.contiguous("x", x);
  }
}

void check_slice(const Checker& check, const char* name, const at::Tensor& slice, const WeightSlice& place) {
  const size_t num_dims = place.weight_shape.size();
  ATHANOR_CHECK(num_dims == 2 || num_dims == 3, "{}: the weight has {} dimensions, expected 2 or 3",
                check.operation(), num_dims);
  check.dim(name, slice, 1);
  check.contiguous(name, slice);
  const int64_t num_elements = c10::multiply_integers(place.weight_shape), end = place.begin + slice.size(0);
  ATHANOR_CHECK(place.begin >= 0 && end <= num_elements, "{}: {} is [{}, {}) of a weight with {} elements",
                check.operation(), name, place.begin, end, num_elements);
}

void check_block_scales(const Checker& check, const char* name, const at::Tensor& scales,
                        at::IntArrayRef weight_shape) {
  const auto sizes = fp8_block_scale_shape(weight_shape);
  ATHANOR_CHECK(scales.defined() && scales.sizes() == at::IntArrayRef(sizes),
                "{}: {} do not have the shape of the blocks of the weight", check.operation(), name);
  check.dtype(name, scales, at::kFloat);
  check.contiguous(name, scales);
}

std::vector<int64_t> scale_sizes(const at::Tensor& x, Fp8Tiles tiles, const std::vector<int64_t>& offsets) {
  if (tiles == Fp8Tiles::kRow) return {x.size(0), fp8_tiles(x.size(1))};
  if (tiles == Fp8Tiles::kBlock) return fp8_block_scale_shape(x.sizes());
  return {cpu::num_token_tiles(offsets), x.size(1)};
}

}  // namespace

Fp8Matrix quantise(const at::Tensor& x, Fp8Tiles tiles, const Fp8Options& options, Fp8Keep keep,
                   const std::vector<int64_t>& offsets) {
  const Checker check("quantise");
  check_source(check, x, tiles);
  Fp8Matrix to;
  to.tiles = tiles;
  to.scale = options.scale;
  if (tiles == Fp8Tiles::kToken) {
    to.offsets = offsets.empty() ? std::vector<int64_t>{0, x.size(0)} : offsets;
    check.offsets("offsets", to.offsets, static_cast<int64_t>(to.offsets.size()) - 1, x.size(0));
  }
  const auto like = [&](at::ScalarType type) { return at::TensorOptions().dtype(type).device(x.device()); };
  to.scales = at::empty(scale_sizes(x, tiles, to.offsets), like(at::kFloat));
  if (keep != Fp8Keep::kExact) to.codes = at::empty(x.sizes(), like(at::kFloat8_e4m3fn));
  if (keep != Fp8Keep::kCodes) to.exact = at::empty(x.sizes(), like(at::kBFloat16));
  check.on_cuda({&x}) ? cuda::quantise_tiles(to, x, options) : cpu::quantise_tiles(to, x, options);
  return to;
}

namespace {

void decode(const Checker& check, const at::Tensor& out, const Fp8Matrix& matrix, bool scaled) {
  check.on_cuda({&out, &matrix.codes, &matrix.scales}) ? cuda::decode_tiles(out, matrix, scaled)
                                                       : cpu::decode_tiles(out, matrix, scaled);
}

}  // namespace

void dequantise(const at::Tensor& out, const Fp8Matrix& matrix) {
  const Checker check("dequantise");
  ATHANOR_CHECK(matrix.codes.defined(), "dequantise: the codes were not kept");
  ATHANOR_CHECK(out.defined() && out.sizes() == matrix.codes.sizes(),
                "dequantise: out does not have the shape of the codes");
  check.compute_dtype("out", out);
  check.contiguous("out", out);
  decode(check, out, matrix, /*scaled=*/true);
}

void make_exact(Fp8Matrix& matrix) {
  if (matrix.exact.defined()) return;
  ATHANOR_CHECK(matrix.codes.defined(), "make_exact: the matrix holds neither codes nor exact values");
  matrix.exact = at::empty(matrix.codes.sizes(), matrix.codes.options().dtype(at::kBFloat16));
  decode(Checker("make_exact"), matrix.exact, matrix, /*scaled=*/matrix.scale == Fp8Scale::kPowerOfTwo);
}

Fp8Keep fp8_operand(at::Device device) {
  const bool takes_codes = device.is_cuda() && cuda::multiplies_codes(compute_capability(device));
  return takes_codes ? Fp8Keep::kCodes : Fp8Keep::kExact;
}

void quantise_rows(const at::Tensor& codes_TD, const at::Tensor& scales_TC, const at::Tensor& x_TD,
                   const Fp8Options& options) {
  const Checker check("quantise_rows");
  check_source(check, x_TD, Fp8Tiles::kRow);
  check.tensor("codes", codes_TD, at::kFloat8_e4m3fn, {x_TD.size(0), x_TD.size(1)});
  check.tensor("scales", scales_TC, at::kFloat, {x_TD.size(0), fp8_tiles(x_TD.size(1))});
  const Fp8Matrix to{Fp8Tiles::kRow, options.scale, codes_TD, scales_TC, {}, {}};
  check.on_cuda({&codes_TD, &scales_TC, &x_TD}) ? cuda::quantise_tiles(to, x_TD, options)
                                                : cpu::quantise_tiles(to, x_TD, options);
}

void dequantise_rows(const at::Tensor& y_TD, const at::Tensor& codes_TD, const at::Tensor& scales_TC) {
  const Checker check("dequantise_rows");
  check.dim("codes", codes_TD, 2);
  check.tensor("codes", codes_TD, at::kFloat8_e4m3fn, {codes_TD.size(0), codes_TD.size(1)});
  check.tensor("scales", scales_TC, at::kFloat, {codes_TD.size(0), fp8_tiles(codes_TD.size(1))});
  dequantise(y_TD, {Fp8Tiles::kRow, Fp8Scale::kPowerOfTwo, codes_TD, scales_TC, {}, {}});
}

std::vector<int64_t> fp8_block_scale_shape(at::IntArrayRef weight_shape) {
  std::vector<int64_t> sizes(weight_shape.begin(), weight_shape.end());
  for (size_t i = sizes.size() - 2; i < sizes.size(); ++i) sizes[i] = fp8_tiles(sizes[i]);
  return sizes;
}

void raise_block_magnitudes(const at::Tensor& magnitudes, const at::Tensor& slice, const WeightSlice& place) {
  const Checker check("raise_block_magnitudes");
  check.compute_dtype("slice", slice);
  check_slice(check, "slice", slice, place);
  check_block_scales(check, "magnitudes", magnitudes, place.weight_shape);
  check.on_cuda({&magnitudes, &slice}) ? cuda::raise_slice_magnitudes(magnitudes, slice, place)
                                       : cpu::raise_slice_magnitudes(magnitudes, slice, place);
}

void fp8_scales(const at::Tensor& scales, const at::Tensor& magnitudes, const Fp8Options& options) {
  const Checker check("fp8_scales");
  for (const at::Tensor* tensor : {&scales, &magnitudes}) {
    check.dtype("a tensor", *tensor, at::kFloat);
    check.contiguous("a tensor", *tensor);
  }
  ATHANOR_CHECK(scales.numel() == magnitudes.numel(), "fp8_scales: {} scales for {} magnitudes",
                scales.numel(), magnitudes.numel());
  if (check.on_cuda({&scales, &magnitudes})) return cuda::scales_from_magnitudes(scales, magnitudes, options);
  float* to = cpu::mutable_data<float>(scales);
  const float* from = cpu::data<float>(magnitudes);
  std::transform(from, from + scales.numel(), to, [&](float x) { return cpu::fp8_scale(x, options); });
}

namespace {

/// Codes or exact values of a slice, whichever `to` has.
void write_checked_slice(const Checker& check, const Fp8Matrix& to, const at::Tensor& slice,
                         const WeightSlice& place) {
  check.compute_dtype("slice", slice);
  check_slice(check, "slice", slice, place);
  check_block_scales(check, "scales", to.scales, place.weight_shape);
  check.on_cuda({&to.codes, &to.exact, &to.scales, &slice}) ? cuda::write_slice(to, slice, place)
                                                            : cpu::write_slice(to, slice, place);
}

}  // namespace

void encode_block_slice(const at::Tensor& codes, const at::Tensor& slice, const at::Tensor& scales,
                        const WeightSlice& place) {
  const Checker check("encode_block_slice");
  check.tensor("codes", codes, at::kFloat8_e4m3fn, {slice.size(0)});
  write_checked_slice(check, {Fp8Tiles::kBlock, Fp8Scale::kPowerOfTwo, codes, scales, {}, {}}, slice, place);
}

void round_block_slice(const at::Tensor& exact, const at::Tensor& slice, const at::Tensor& scales,
                       const WeightSlice& place, Fp8Scale scale) {
  const Checker check("round_block_slice");
  check.tensor("exact", exact, at::kBFloat16, {slice.size(0)});
  write_checked_slice(check, {Fp8Tiles::kBlock, scale, {}, scales, exact, {}}, slice, place);
}

void decode_block_slice(const at::Tensor& exact, const at::Tensor& codes, const at::Tensor& scales,
                        const WeightSlice& place, Fp8Scale scale) {
  const Checker check("decode_block_slice");
  check.dtype("codes", codes, at::kFloat8_e4m3fn);
  check_slice(check, "codes", codes, place);
  check_block_scales(check, "scales", scales, place.weight_shape);
  check.tensor("exact", exact, at::kBFloat16, {codes.size(0)});
  const Fp8Matrix from{Fp8Tiles::kBlock, scale, codes, scales, {}, {}};
  check.on_cuda({&exact, &codes, &scales}) ? cuda::decode_slice(exact, from, place)
                                           : cpu::decode_slice(exact, from, place);
}

}  // namespace athanor::kernels
