// Products of block-scaled FP8 on a CUDA device. There are three ways, and fp8_path chooses one:
//
//   codes   cuBLAS multiplies the codes themselves (at::_scaled_mm_v2, a scale for each row of both operands
//           and each 128 terms of the sum; those of blocks are repeated) in Hopper's FP8 tensor cores. They
//           add 128 products in fewer bits than fp32 holds, to about 2^-13 of the largest; chains of 128 are
//           scaled and added in fp32.
//   folded  power-of-two scales: exact bf16 values with the scale folded in, one bf16 product of ops.h.
//   tiles   fp32 scales: the values of the codes in bf16, one product for each 128 terms of the sum, each
//           scaled and added in fp32 as kernels/cpu does, in its order. Two launches a tile: slow, and exact.
//
// What the codes way needs, and what fp8_path looks at:
//   device            compute capability 9.0, for which alone cuBLAS (from 12.9; LibTorch 2.11 brings 13) has
//                     such products
//   forward, dx       summed dimension a multiple of 128, columns a multiple of 16; rows of an expert are
//                     filled up to a multiple of 4, as cuBLAS wants them
//   weight gradient   both feature dimensions a multiple of 16; tokens are filled up to tiles of 128 by zeros
//   several experts   with power-of-two scales at least 1,024 rows each on average: below, the launches of a
//                     product per expert cost more than one bf16 kernel for all
//
// On one device the same call with the same inputs gives the same bits. As with the bf16 products there,
// which kernel cuBLAS takes, and here which way is gone, depends on the shape, and with it the last bits of a
// row; the ways differ from each other by what is said above.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "kernels/fp8.h"

namespace athanor::kernels::cuda {

enum class Fp8Path { kCodes, kFolded, kTiles };
enum class Fp8Product { kForward, kInputGradient, kWeightGradient };

/// What a choice depends on. Forward and input gradient: num_columns of the result, num_summed terms of its
/// sums, num_rows of all experts. Weight gradient: a matrix [num_rows of dy, num_columns of x] for every
/// expert, num_summed tokens in all.
struct Fp8ProductFacts {
  Fp8Product product = Fp8Product::kForward;
  Fp8Scale scale = Fp8Scale::kPowerOfTwo;
  int compute_capability = 0;  ///< 10 * major + minor
  int64_t num_experts = 1;
  int64_t num_rows = 0, num_columns = 0, num_summed = 0;
};
Fp8Path fp8_path(const Fp8ProductFacts& facts);
/// What this device may multiply: where it is not codes, fp8_path never says kCodes.
bool multiplies_codes(int compute_capability);

/// One product of codes: out [M, N] (fp32 or bf16, contiguous) = a [M, K] · b [N, K]ᵀ with scales of every
/// row and tile, [M, fp8_tiles(K)] and [N, fp8_tiles(K)], that lie column by column (strides 1 and M or N).
struct CodesProduct {
  at::Tensor out_MN, a_MK, a_scales_MC, b_NK, b_scales_NC;
};
using MultiplyCodes = std::function<void(const CodesProduct&)>;
/// Through at::_scaled_mm_v2.
void multiply_codes(const CodesProduct& product);

/// Forward: rows [offsets[e], offsets[e+1]) of out [P, N] = those of a [P, K] (row tiles) times w[e]ᵀ
/// (blocks, [E, N, K]) (+ bias [N]). Input gradient: of out [P, K] = a [P, N] · w[e]. Both operands have
/// codes, or exact values to make them from. `multiply` is for tests.
void codes_matmul_rows(Fp8Product product, const at::Tensor& out_PN, const Fp8Matrix& a, const Fp8Matrix& w,
                       const std::vector<int64_t>& offsets, const std::optional<at::Tensor>& bias_N,
                       const MultiplyCodes& multiply = multiply_codes);
/// out [E, N, K] fp32 = dyᵀ · x by groups of token tiles, or +=; a group without rows gives zeros.
void codes_matmul_tokens(const at::Tensor& out_ENK, const Fp8Matrix& dy, const Fp8Matrix& x, bool accumulate,
                         const MultiplyCodes& multiply = multiply_codes);

/// The same two with exact values in fp32 scales, tile by tile.
void tiles_matmul_rows(Fp8Product product, const at::Tensor& out_PN, const Fp8Matrix& a, const Fp8Matrix& w,
                       const std::vector<int64_t>& offsets, const std::optional<at::Tensor>& bias_N);
void tiles_matmul_tokens(const at::Tensor& out_ENK, const Fp8Matrix& dy, const Fp8Matrix& x, bool accumulate);

}  // namespace athanor::kernels::cuda
