// The CUDA side of kernels/fp8.h: quantising and reading matrices in tiles, with the bytes of
// kernels/cpu/fp8_tiles.h. Arguments were checked (kernels/fp8.cpp).
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "kernels/fp8.h"

namespace athanor::kernels::cuda {

/// Writes scales, and codes and exact values where `to` has them.
void quantise_tiles(const Fp8Matrix& to, const at::Tensor& x, const Fp8Options& options);
/// out (fp32 or bf16) = value of the codes, times their scales when `scaled`.
void decode_tiles(const at::Tensor& out, const Fp8Matrix& from, bool scaled);
/// The codes of a matrix: those it has, or made from its exact values, of which they are the very codes.
at::Tensor codes_of(const Fp8Matrix& matrix);

/// Part of a weight: see fp8.h.
void raise_slice_magnitudes(const at::Tensor& magnitudes, const at::Tensor& slice, const WeightSlice& place);
void scales_from_magnitudes(const at::Tensor& scales, const at::Tensor& magnitudes,
                            const Fp8Options& options);
/// Codes and exact values of the slice, whichever `to` has, with its scales.
void write_slice(const Fp8Matrix& to, const at::Tensor& slice, const WeightSlice& place);
/// `from`: codes of the slice and scales of the weight.
void decode_slice(const at::Tensor& exact, const Fp8Matrix& from, const WeightSlice& place);

/// codes [E, N, K] -> [E, K, N]; N and K are multiples of 4.
at::Tensor transposed_codes(const at::Tensor& codes_ENK);
/// codes [T, D] with token tiles in groups -> for every group, one after the other, [D, 128 * tiles of the
/// group], zero beyond its rows; D is a multiple of 4.
at::Tensor transposed_token_codes(const at::Tensor& codes_TD, const std::vector<int64_t>& offsets);

}  // namespace athanor::kernels::cuda
