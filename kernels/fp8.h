// Block-scaled FP8 (DeepSeek-V3, arXiv 2412.19437, section 3.3): E4M3 codes whose value is code * scale of
// their tile. Activations and gradients have tiles of 128 along the dimension that a product sums over: along
// a row (1x128) for the forward product and the gradient of the input, along tokens (128x1) for the weight
// gradient. Weights have blocks of 128x128, which serve both directions. Tiles at an edge may be partial.
//
// Quantising: scale = max(largest magnitude of the tile, floor) / 448; code = x * (1 / scale), rounded to the
// nearest code, ties to even, saturating. Power-of-two scales are that scale rounded up. A tile that holds
// NaN or an infinity becomes NaN as a whole. Every step is a single IEEE operation: all machines give the
// same bits.
//
// Products: the values are exact in bf16, sums are fp32.
//   power-of-two scales   the scale is folded into the bf16 value, which stays exact, and one ordinary
//                         product of ops.h runs: one chain over the summed dimension, in its order
//   fp32 scales           one such chain, from zero, for each tile of 128 of the summed dimension; then,
//   tiles
//                         ascending, sum = chain * (left scale * right scale) + sum, a fused multiply-add
// Both are batch-invariant as ops.h promises: the bits of a row depend on neither the other rows nor the
// number of threads. Token tiles start at the first row of a group (of the matrix, or of each expert).
//
// On CUDA devices quantising and reading give the bytes of the CPU. Products are exact in bf16 there too, or
// multiply the codes themselves where the device and the shape allow: cuda/fp8_products.h says which go
// where, and what holds of their sums.
//
// Shape suffixes as in ops.h. Scales are fp32, codes are at::kFloat8_e4m3fn.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

namespace athanor::kernels {

constexpr int64_t kFp8Tile = 128;
constexpr int64_t fp8_tiles(int64_t size) {
  return (size + kFp8Tile - 1) / kFp8Tile;
}

enum class Fp8Scale { kPowerOfTwo, kFp32 };

/// Which elements share a scale, and so the shape of the scales.
enum class Fp8Tiles {
  kRow,    ///< 1x128 of [T, D]: scales [T, fp8_tiles(D)]
  kToken,  ///< 128x1 of [T, D], in groups of rows: scales [sum over groups of fp8_tiles(rows), D]
  kBlock,  ///< 128x128 of [N, K] or of each [N, K] in [E, N, K]: scales [(E,) fp8_tiles(N), fp8_tiles(K)]
};

/// The smallest largest magnitude that a tile is scaled by: what is smaller loses precision instead of making
/// a scale that tends to zero. Gradients, whose size depends on the number of tokens, need a lower one.
constexpr float kFp8Floor = 1e-4f, kFp8GradientFloor = 1e-30f;

struct Fp8Options {
  Fp8Scale scale = Fp8Scale::kPowerOfTwo;
  float floor = kFp8Floor;
};

/// A quantised matrix. Copies share storage.
struct Fp8Matrix {
  Fp8Tiles tiles = Fp8Tiles::kRow;
  Fp8Scale scale = Fp8Scale::kPowerOfTwo;
  at::Tensor codes;  ///< undefined when only `exact` was kept
  at::Tensor scales;
  at::Tensor exact;  ///< bf16, for exact products: code * scale with power-of-two scales, else the value
                     ///< of the code alone. Undefined: made from the codes when a product needs it
  std::vector<int64_t> offsets;  ///< kToken only: ascending first rows of the groups, then the number of rows

  at::IntArrayRef sizes() const { return codes.defined() ? codes.sizes() : exact.sizes(); }
};

/// What of a quantised matrix is written: exact values alone are for operands that are used once.
enum class Fp8Keep { kCodes, kExact, kBoth };

/// Quantises x (fp32 or bf16; 2 dimensions, blocks also 3; rows may have a stride where there are 2).
/// `offsets` for token tiles (empty: one group).
Fp8Matrix quantise(const at::Tensor& x, Fp8Tiles tiles, const Fp8Options& options = {},
                   Fp8Keep keep = Fp8Keep::kCodes, const std::vector<int64_t>& offsets = {});
/// out (fp32 or bf16, contiguous) = codes * scales, rounded once.
void dequantise(const at::Tensor& out, const Fp8Matrix& matrix);
/// Fills `exact` from the codes where it is undefined.
void make_exact(Fp8Matrix& matrix);
/// What products on this device take by preference, so that keeping it saves a pass: codes (Hopper GPUs) or
/// exact values (everything else). They take either.
Fp8Keep fp8_operand(at::Device device);

/// Rows as they travel between ranks: codes [T, D], scales [T, fp8_tiles(D)].
void quantise_rows(const at::Tensor& codes_TD, const at::Tensor& scales_TC, const at::Tensor& x_TD,
                   const Fp8Options& options = {});
/// y [T, D] (fp32 or bf16) = codes * scales.
void dequantise_rows(const at::Tensor& y_TD, const at::Tensor& codes_TD, const at::Tensor& scales_TC);

// ---- weights in pieces
// ----------------------------------------------------------------------------------------
// A rank that holds some elements of a weight ([N, K] or [E, N, K]), flattened, takes part in quantising it:
// largest magnitudes of its elements, the maximum over ranks, scales, its part of the codes. The result
// equals quantise(weight, kBlock).

/// Elements [begin, begin + slice.size(0)) of the flattened weight lie in a slice (1-D, contiguous).
struct WeightSlice {
  at::IntArrayRef weight_shape;
  int64_t begin = 0;
};
/// [(E,) fp8_tiles(N), fp8_tiles(K)]
std::vector<int64_t> fp8_block_scale_shape(at::IntArrayRef weight_shape);

/// magnitudes (fp32, shaped like the scales) = max(magnitudes, those of the slice); NaN stays.
void raise_block_magnitudes(const at::Tensor& magnitudes, const at::Tensor& slice, const WeightSlice& place);
/// scales = what magnitudes give; they may be one tensor.
void fp8_scales(const at::Tensor& scales, const at::Tensor& magnitudes, const Fp8Options& options);
/// codes (e4m3, as long as slice): the slice's part of the quantised weight.
void encode_block_slice(const at::Tensor& codes, const at::Tensor& slice, const at::Tensor& scales,
                        const WeightSlice& place);
/// exact (bf16, as long as slice; may be it): the slice's part of Fp8Matrix::exact.
void round_block_slice(const at::Tensor& exact, const at::Tensor& slice, const at::Tensor& scales,
                       const WeightSlice& place, Fp8Scale scale);
/// The same from codes.
void decode_block_slice(const at::Tensor& exact, const at::Tensor& codes, const at::Tensor& scales,
                        const WeightSlice& place, Fp8Scale scale);

// ---- products
// --------------------------------------------------------------------------------------------------
// As their namesakes in ops.h. Both operands have the same kind of scale.

/// out [M, N] = x [M, K] (row tiles) · w [N, K]ᵀ (blocks) (+ bias [N]); out fp32 or bf16.
void fp8_matmul_nt(const at::Tensor& out_MN, const Fp8Matrix& x_MK, const Fp8Matrix& w_NK,
                   const std::optional<at::Tensor>& bias_N = std::nullopt);
/// out [M, K] = dy [M, N] (row tiles) · w [N, K] (blocks).
void fp8_matmul_nn(const at::Tensor& out_MK, const Fp8Matrix& dy_MN, const Fp8Matrix& w_NK);
/// out [N, K] fp32 = dyᵀ · x for dy [T, N], x [T, K] (token tiles, one group), or +=.
void fp8_matmul_tn(const at::Tensor& out_NK, const Fp8Matrix& dy_TN, const Fp8Matrix& x_TK,
                   bool accumulate = false);

/// Rows [offsets[e], offsets[e+1]) belong to expert e.
void fp8_grouped_matmul_nt(const at::Tensor& out_PN, const Fp8Matrix& x_PK, const Fp8Matrix& w_ENK,
                           const std::vector<int64_t>& offsets);
void fp8_grouped_matmul_nn(const at::Tensor& out_PK, const Fp8Matrix& dy_PN, const Fp8Matrix& w_ENK,
                           const std::vector<int64_t>& offsets);
/// The groups of the token tiles are the experts; one without rows gets zeros (or is left alone with
/// `accumulate`).
void fp8_grouped_matmul_tn(const at::Tensor& out_ENK, const Fp8Matrix& dy_PN, const Fp8Matrix& x_PK,
                           bool accumulate = false);

}  // namespace athanor::kernels
