#include "kernels/cuda/fp8_tiles.h"

#include <algorithm>

#include <ATen/ops/empty.h>

#include "kernels/checks.h"
#include "kernels/cuda/transfer.h"
#include "kernels/cuda_plugin.h"

namespace athanor::kernels::cuda {
namespace {

static_assert(ATHANOR_CUDA_FP8_TILE == kFp8Tile);
static_assert(static_cast<int>(Fp8Tiles::kRow) == ATHANOR_CUDA_FP8_ROW &&
              static_cast<int>(Fp8Tiles::kToken) == ATHANOR_CUDA_FP8_TOKEN &&
              static_cast<int>(Fp8Tiles::kBlock) == ATHANOR_CUDA_FP8_BLOCK);

uint8_t* mutable_codes(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<uint8_t*>(tensor.mutable_data_ptr()) : nullptr;
}
const uint8_t* const_codes(const at::Tensor& tensor) {
  return static_cast<const uint8_t*>(tensor.const_data_ptr());
}
uint16_t* mutable_exact(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<uint16_t*>(tensor.mutable_data_ptr()) : nullptr;
}

// ---- places
// ----------------------------------------------------------------------------------------------------

/// [tiles, 4] as AthanorCudaFp8Place wants it.
at::Tensor token_tile_list(const std::vector<int64_t>& offsets, at::Device device) {
  std::vector<int64_t> tiles;
  int64_t first_tile = 0;
  for (size_t e = 0; e + 1 < offsets.size(); ++e) {
    const int64_t num_tiles = fp8_tiles(offsets[e + 1] - offsets[e]);
    for (int64_t row = offsets[e]; row < offsets[e + 1]; row += kFp8Tile)
      tiles.insert(tiles.end(), {row, std::min(kFp8Tile, offsets[e + 1] - row), first_tile, num_tiles});
    first_tile += num_tiles;
  }
  return to_device_int32(tiles, device);
}

/// Where a matrix lies, and the list that keeps its token tiles alive.
struct Place {
  at::Tensor token_tiles;
  AthanorCudaFp8Place place;
};

Place whole(Fp8Tiles tiles, at::IntArrayRef sizes, const std::vector<int64_t>& offsets, at::Device device) {
  Place whole{{},
              {.tiles = static_cast<int>(tiles),
               .num_rows = sizes[sizes.size() - 2],
               .num_columns = sizes[sizes.size() - 1],
               .begin = 0,
               .end = c10::multiply_integers(sizes),
               .token_tiles = nullptr,
               .num_token_tiles = 0}};
  if (tiles == Fp8Tiles::kToken) {
    whole.token_tiles = token_tile_list(offsets, device);
    whole.place.token_tiles = whole.token_tiles.const_data_ptr<int32_t>();
    whole.place.num_token_tiles = whole.token_tiles.size(0) / 4;
  }
  return whole;
}

Place whole(const Fp8Matrix& matrix) {
  return whole(matrix.tiles, matrix.sizes(), matrix.offsets, matrix.scales.device());
}

AthanorCudaFp8Place slice_of(const WeightSlice& slice, int64_t count) {
  Place place = whole(Fp8Tiles::kBlock, slice.weight_shape, {}, at::kCPU);
  place.place.begin = slice.begin;
  place.place.end = slice.begin + count;
  return place.place;
}

// ---- writing
// ---------------------------------------------------------------------------------------------------

/// Of x to `to`; options and flags are left to the caller.
AthanorCudaFp8Write write_of(const Fp8Matrix& to, const at::Tensor& x, int64_t x_stride,
                             const AthanorCudaFp8Place& place) {
  return {.codes = mutable_codes(to.codes),
          .exact = mutable_exact(to.exact),
          .scales = to.scales.mutable_data_ptr<float>(),
          .x = x.const_data_ptr(),
          .x_stride = x_stride,
          .place = place,
          .floor = 0,
          .is_power_of_two = to.scale == Fp8Scale::kPowerOfTwo,
          .x_is_scaled = false,
          .x_is_bf16 = is_bf16(x)};
}

void raise_magnitudes(const at::Tensor& magnitudes, const at::Tensor& x, const AthanorCudaFp8Place& place) {
  launch_cuda(
      "raise_block_magnitudes", x, cuda_plugin().fp8_raise_magnitudes,
      AthanorCudaFp8Magnitudes{magnitudes.mutable_data_ptr<float>(), x.const_data_ptr(), place, is_bf16(x)});
}

void quantise_blocks(const Fp8Matrix& to, const at::Tensor& x, const Fp8Options& options) {
  const Place place = whole(to);
  at::Tensor(to.scales).zero_();
  raise_magnitudes(to.scales, x, place.place);
  scales_from_magnitudes(to.scales, to.scales, options);
  launch_cuda("quantise", x, cuda_plugin().fp8_write, write_of(to, x, x.size(-1), place.place));
}

}  // namespace

void quantise_tiles(const Fp8Matrix& to, const at::Tensor& x, const Fp8Options& options) {
  if (to.tiles == Fp8Tiles::kBlock) return quantise_blocks(to, x, options);
  const Place place = whole(to);
  AthanorCudaFp8Write write = write_of(to, x, x.stride(0), place.place);
  write.floor = options.floor;
  launch_cuda("quantise", x, cuda_plugin().fp8_quantise, write);
}

void decode_tiles(const at::Tensor& out, const Fp8Matrix& from, bool scaled) {
  const Place place = whole(from);
  launch_cuda("dequantise", out, cuda_plugin().fp8_decode,
              AthanorCudaFp8Decode{out.mutable_data_ptr(), const_codes(from.codes),
                                   scaled ? from.scales.const_data_ptr<float>() : nullptr, place.place,
                                   is_bf16(out)});
}

at::Tensor codes_of(const Fp8Matrix& matrix) {
  if (matrix.codes.defined()) return matrix.codes;
  Fp8Matrix to = matrix;
  to.exact = at::Tensor();
  to.codes = at::empty(matrix.exact.sizes(), matrix.exact.options().dtype(at::kFloat8_e4m3fn));
  const Place place = whole(to);
  AthanorCudaFp8Write write = write_of(to, matrix.exact, matrix.exact.size(-1), place.place);
  write.x_is_scaled = matrix.scale == Fp8Scale::kFp32;
  launch_cuda("codes_of", matrix.exact, cuda_plugin().fp8_write, write);
  return to.codes;
}

void raise_slice_magnitudes(const at::Tensor& magnitudes, const at::Tensor& slice, const WeightSlice& place) {
  raise_magnitudes(magnitudes, slice, slice_of(place, slice.size(0)));
}

void scales_from_magnitudes(const at::Tensor& scales, const at::Tensor& magnitudes,
                            const Fp8Options& options) {
  launch_cuda("fp8_scales", scales, cuda_plugin().fp8_scales,
              AthanorCudaFp8Scales{scales.mutable_data_ptr<float>(), magnitudes.const_data_ptr<float>(),
                                   scales.numel(), options.floor, options.scale == Fp8Scale::kPowerOfTwo});
}

void write_slice(const Fp8Matrix& to, const at::Tensor& slice, const WeightSlice& place) {
  launch_cuda("write_slice", slice, cuda_plugin().fp8_write,
              write_of(to, slice, place.weight_shape.back(), slice_of(place, slice.size(0))));
}

void decode_slice(const at::Tensor& exact, const Fp8Matrix& from, const WeightSlice& place) {
  const bool folds = from.scale == Fp8Scale::kPowerOfTwo;
  launch_cuda("decode_block_slice", exact, cuda_plugin().fp8_decode,
              AthanorCudaFp8Decode{exact.mutable_data_ptr(), const_codes(from.codes),
                                   folds ? from.scales.const_data_ptr<float>() : nullptr,
                                   slice_of(place, exact.size(0)), true});
}

// ---- transposing
// -----------------------------------------------------------------------------------------------

at::Tensor transposed_codes(const at::Tensor& codes_ENK) {
  const int64_t num_matrices = codes_ENK.size(0), num_rows = codes_ENK.size(1),
                num_columns = codes_ENK.size(2);
  const at::Tensor out = at::empty({num_matrices, num_columns, num_rows}, codes_ENK.options());
  launch_cuda("transposed_codes", codes_ENK, cuda_plugin().fp8_transpose,
              AthanorCudaFp8Transpose{mutable_codes(out), const_codes(codes_ENK), nullptr,
                                      num_matrices * fp8_tiles(num_rows), num_rows, num_columns});
  return out;
}

at::Tensor transposed_token_codes(const at::Tensor& codes_TD, const std::vector<int64_t>& offsets) {
  const int64_t num_columns = codes_TD.size(1);
  int64_t num_tiles = 0;
  for (size_t e = 0; e + 1 < offsets.size(); ++e) num_tiles += fp8_tiles(offsets[e + 1] - offsets[e]);
  const at::Tensor out = at::empty({num_tiles * kFp8Tile * num_columns}, codes_TD.options());
  const at::Tensor tiles = token_tile_list(offsets, codes_TD.device());
  launch_cuda(
      "transposed_token_codes", codes_TD, cuda_plugin().fp8_transpose,
      AthanorCudaFp8Transpose{mutable_codes(out), const_codes(codes_TD), tiles.const_data_ptr<int32_t>(),
                              num_tiles, codes_TD.size(0), num_columns});
  return out;
}

}  // namespace athanor::kernels::cuda
