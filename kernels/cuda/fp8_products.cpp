// Shape suffixes as in ops.h, and C tiles of the summed dimension.
#include "kernels/cuda/fp8_products.h"

#include <algorithm>

#include <ATen/BlasBackend.h>
#include <ATen/ops/_scaled_mm_v2.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include "kernels/cuda/fp8_tiles.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda_plugin.h"

namespace athanor::kernels::cuda {
namespace {

constexpr int kHopper = 90;
constexpr int64_t kFeatureMultiple = 16, kRowMultiple = 4;
constexpr int64_t kRowsPerExpertForCodes = 1024;

int64_t rounded_up(int64_t count, int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

bool shape_suits_codes(const Fp8ProductFacts& facts) {
  if (facts.num_columns % kFeatureMultiple != 0) return false;
  if (facts.product == Fp8Product::kWeightGradient) return facts.num_rows % kFeatureMultiple == 0;
  return facts.num_summed % kFp8Tile == 0;
}

bool experts_suit_codes(const Fp8ProductFacts& facts) {
  if (facts.num_experts == 1 || facts.scale == Fp8Scale::kFp32) return true;
  const int64_t num_tokens = facts.product == Fp8Product::kWeightGradient ? facts.num_summed : facts.num_rows;
  return num_tokens >= kRowsPerExpertForCodes * facts.num_experts;
}

}  // namespace

bool multiplies_codes(int compute_capability) {
  return compute_capability == kHopper;
}

Fp8Path fp8_path(const Fp8ProductFacts& facts) {
  if (multiplies_codes(facts.compute_capability) && shape_suits_codes(facts) && experts_suit_codes(facts))
    return Fp8Path::kCodes;
  return facts.scale == Fp8Scale::kPowerOfTwo ? Fp8Path::kFolded : Fp8Path::kTiles;
}

void multiply_codes(const CodesProduct& product) {
  constexpr int64_t kTileOfOneRow[] = {static_cast<int64_t>(at::blas::ScalingType::BlockWise1x128)};
  at::Tensor out = product.out_MN;
  at::_scaled_mm_v2_out(out, product.a_MK, product.b_NK.t(), {product.a_scales_MC}, kTileOfOneRow, {},
                        {product.b_scales_NC}, kTileOfOneRow, {}, /*bias=*/std::nullopt, out.scalar_type(),
                        /*contraction_dim=*/{}, /*use_fast_accum=*/false);
}

namespace {

// ---- operands
// --------------------------------------------------------------------------------------------------

/// The same values, laid out column by column. Strides are said outright: of a single column ATen keeps any,
/// and cuBLAS's front door looks at them.
at::Tensor by_columns(const at::Tensor& scales_MC) {
  const int64_t num_rows = scales_MC.size(0);
  return scales_MC.t().contiguous().as_strided(scales_MC.sizes(), {1, num_rows});
}

/// Scales of blocks [E, R, C] for each of `num_rows` rows: [E, num_rows, C], each matrix column by column.
at::Tensor scales_of_rows(const at::Tensor& scales_ERC, int64_t num_rows) {
  const int64_t num_matrices = scales_ERC.size(0), num_tiles = scales_ERC.size(1), depth = scales_ERC.size(2);
  const at::Tensor columns = scales_ERC.transpose(1, 2).unsqueeze(3);
  return columns.expand({num_matrices, depth, num_tiles, kFp8Tile})
      .reshape({num_matrices, depth, num_tiles * kFp8Tile})
      .narrow(2, 0, num_rows)
      .contiguous()
      .as_strided({num_matrices, num_rows, depth}, {depth * num_rows, 1, num_rows});
}

/// Weights as right operands: codes [E, N, K] and scales [E, N, C] of out = a · codesᵀ.
struct RightOperand {
  at::Tensor codes_ENK, scales_ENC;
};
RightOperand right_operand(Fp8Product product, const Fp8Matrix& w) {
  const at::Tensor codes = codes_of(w);
  if (product == Fp8Product::kForward) return {codes, scales_of_rows(w.scales, codes.size(1))};
  return {transposed_codes(codes), scales_of_rows(w.scales.transpose(1, 2), codes.size(2))};
}

/// The first rows of a matrix with more.
at::Tensor filled_up(const at::Tensor& rows, int64_t num_rows) {
  const at::Tensor filled = at::zeros({num_rows, rows.size(1)}, rows.options());
  filled.narrow(0, 0, rows.size(0)).copy_(rows);
  return filled;
}

/// Rows [begin, begin + count) of out = a · b, as many as a multiple of kRowMultiple.
///
/// Where there are rows enough behind them, those go along: what that writes to them is overwritten by the
/// products of their own experts, which come later. At the end of the matrix copies are filled up.
void multiply_rows(const CodesProduct& all, int64_t begin, int64_t count, const MultiplyCodes& multiply) {
  const int64_t padded = rounded_up(count, kRowMultiple);
  const bool fits = begin + padded <= all.a_MK.size(0);
  const auto rows = [&](const at::Tensor& matrix) { return matrix.narrow(0, begin, fits ? padded : count); };
  CodesProduct part = all;
  part.a_MK = rows(all.a_MK);
  at::Tensor scales_MC = rows(all.a_scales_MC);
  const at::Tensor out = rows(all.out_MN);
  part.out_MN = out;
  if (!fits) {
    part.a_MK = filled_up(part.a_MK.view(at::kByte), padded).view(all.a_MK.scalar_type());
    scales_MC = filled_up(scales_MC, padded);
    part.out_MN = at::empty({padded, out.size(1)}, out.options());
  }
  part.a_scales_MC = by_columns(scales_MC);
  multiply(part);
  if (!fits) out.copy_(part.out_MN.narrow(0, 0, count));
}

bool has_bias(const std::optional<at::Tensor>& bias) {
  return bias && bias->defined();
}

}  // namespace

void codes_matmul_rows(Fp8Product product, const at::Tensor& out_PN, const Fp8Matrix& a, const Fp8Matrix& w,
                       const std::vector<int64_t>& offsets, const std::optional<at::Tensor>& bias_N,
                       const MultiplyCodes& multiply) {
  const c10::NoGradGuard without_recording;
  const RightOperand right = right_operand(product, w);
  const bool is_direct = out_PN.is_contiguous() && !has_bias(bias_N);
  const at::Tensor sums = is_direct ? out_PN : at::empty(out_PN.sizes(), out_PN.options().dtype(at::kFloat));
  CodesProduct all{sums, codes_of(a), a.scales, {}, {}};
  for (int64_t e = 0; e < right.codes_ENK.size(0); ++e) {
    const int64_t begin = offsets[static_cast<size_t>(e)],
                  count = offsets[static_cast<size_t>(e) + 1] - begin;
    if (count == 0) continue;
    all.b_NK = right.codes_ENK.select(0, e);
    all.b_scales_NC = right.scales_ENC.select(0, e);
    multiply_rows(all, begin, count, multiply);
  }
  if (is_direct) return;
  if (has_bias(bias_N)) sums.add_(*bias_N);
  out_PN.copy_(sums);
}

void codes_matmul_tokens(const at::Tensor& out_ENK, const Fp8Matrix& dy, const Fp8Matrix& x, bool accumulate,
                         const MultiplyCodes& multiply) {
  const c10::NoGradGuard without_recording;
  const std::vector<int64_t>& offsets = x.offsets;
  const int64_t num_rows = out_ENK.size(1), num_columns = out_ENK.size(2);
  const at::Tensor left = transposed_token_codes(codes_of(dy), offsets),
                   right = transposed_token_codes(codes_of(x), offsets);
  const auto group = [](const at::Tensor& codes, int64_t num_features, int64_t first_tile,
                        int64_t num_tiles) {
    const int64_t depth = num_tiles * kFp8Tile;
    return codes.narrow(0, first_tile * kFp8Tile * num_features, num_features * depth)
        .view({num_features, depth});
  };
  for (int64_t e = 0, tile = 0; e < out_ENK.size(0); ++e) {
    const at::Tensor out = out_ENK.select(0, e);
    const int64_t num_tiles =
        fp8_tiles(offsets[static_cast<size_t>(e) + 1] - offsets[static_cast<size_t>(e)]);
    if (num_tiles == 0) {
      if (!accumulate) out.zero_();
      continue;
    }
    const bool is_direct = !accumulate && out.is_contiguous();
    const at::Tensor sums = is_direct ? out : at::empty(out.sizes(), out.options());
    multiply({sums, group(left, num_rows, tile, num_tiles), dy.scales.narrow(0, tile, num_tiles).t(),
              group(right, num_columns, tile, num_tiles), x.scales.narrow(0, tile, num_tiles).t()});
    if (accumulate)
      out.add_(sums);
    else if (!is_direct)
      out.copy_(sums);
    tile += num_tiles;
  }
}

// ---- tile by tile
// ----------------------------------------------------------------------------------------------

namespace {

/// The scale of row (or column) i in tile c of the summed dimension: data[i / sharers * stride + c *
/// tile_stride].
struct TileScales {
  const float* data;
  int64_t sharers, stride, tile_stride;

  AthanorCudaScaleVector of(int64_t tile) const { return {data + tile * tile_stride, sharers, stride}; }
};

/// sums [M, N] (fp32, contiguous) += a [M, K] · b [K, N], tile by tile.
void add_tiles(const at::Tensor& sums_MN, const at::Tensor& a_MK, const at::Tensor& b_KN,
               const TileScales& row_scales, const TileScales& column_scales) {
  const at::Tensor part = at::empty_like(sums_MN);
  const int64_t depth = a_MK.size(1);
  for (int64_t k = 0, tile = 0; k < depth; k += kFp8Tile, ++tile) {
    const int64_t count = std::min(kFp8Tile, depth - k);
    matmul(part, a_MK.narrow(1, k, count), b_KN.narrow(0, k, count), false, std::nullopt);
    launch_cuda(
        "add_scaled", sums_MN, cuda_plugin().add_scaled,
        AthanorCudaAddScaled{sums_MN.mutable_data_ptr<float>(), part.const_data_ptr<float>(), sums_MN.size(0),
                             sums_MN.size(1), row_scales.of(tile), column_scales.of(tile)});
  }
}

}  // namespace

void tiles_matmul_rows(Fp8Product product, const at::Tensor& out_PN, const Fp8Matrix& a, const Fp8Matrix& w,
                       const std::vector<int64_t>& offsets, const std::optional<at::Tensor>& bias_N) {
  const c10::NoGradGuard without_recording;
  const bool forward = product == Fp8Product::kForward;
  const int64_t tiles_down = w.scales.size(1), tiles_across = w.scales.size(2),
                row_tiles = fp8_tiles(a.exact.size(1));
  for (int64_t e = 0; e < w.exact.size(0); ++e) {
    const int64_t begin = offsets[static_cast<size_t>(e)],
                  count = offsets[static_cast<size_t>(e) + 1] - begin;
    if (count == 0) continue;
    const at::Tensor out = out_PN.narrow(0, begin, count), weight = w.exact.select(0, e);
    const at::Tensor sums = at::zeros(out.sizes(), out.options().dtype(at::kFloat));
    add_tiles(sums, a.exact.narrow(0, begin, count), forward ? weight.t() : weight,
              {a.scales.const_data_ptr<float>() + begin * row_tiles, 1, row_tiles, 1},
              {w.scales.const_data_ptr<float>() + e * tiles_down * tiles_across, kFp8Tile,
               forward ? tiles_across : 1, forward ? 1 : tiles_across});
    if (has_bias(bias_N)) sums.add_(*bias_N);
    at::Tensor(out).copy_(sums);
  }
}

void tiles_matmul_tokens(const at::Tensor& out_ENK, const Fp8Matrix& dy, const Fp8Matrix& x,
                         bool accumulate) {
  const c10::NoGradGuard without_recording;
  const int64_t num_rows = out_ENK.size(1), num_columns = out_ENK.size(2);
  for (int64_t e = 0, tile = 0; e < out_ENK.size(0); ++e) {
    const int64_t begin = x.offsets[static_cast<size_t>(e)],
                  count = x.offsets[static_cast<size_t>(e) + 1] - begin;
    const at::Tensor out = out_ENK.select(0, e);
    const at::Tensor sums = out.is_contiguous() ? out : out.contiguous();
    if (!accumulate) sums.zero_();
    add_tiles(sums, dy.exact.narrow(0, begin, count).t(), x.exact.narrow(0, begin, count),
              {dy.scales.const_data_ptr<float>() + tile * num_rows, 1, 1, num_rows},
              {x.scales.const_data_ptr<float>() + tile * num_columns, 1, 1, num_columns});
    if (!out.is_contiguous()) out.copy_(sums);
    tile += fp8_tiles(count);
  }
}

}  // namespace athanor::kernels::cuda
