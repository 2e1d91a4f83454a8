// Quantising and reading matrices in tiles, on all threads; arguments were checked (kernels/fp8.cpp).
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "kernels/fp8.h"

namespace athanor::kernels::cpu {

/// The scale of a tile with this largest magnitude; NaN when it is not finite.
float fp8_scale(float magnitude, const Fp8Options& options);

/// Tiles down all groups of rows.
int64_t num_token_tiles(const std::vector<int64_t>& offsets);

/// Writes scales, and codes and exact values where `to` has them.
void quantise_tiles(const Fp8Matrix& to, const at::Tensor& x, const Fp8Options& options);

/// out (fp32 or bf16) = value of the codes, times their scales when `scaled`.
void decode_tiles(const at::Tensor& out, const Fp8Matrix& from, bool scaled);

/// Part of a weight: see fp8.h.
void raise_slice_magnitudes(const at::Tensor& magnitudes, const at::Tensor& slice, const WeightSlice& place);
/// Codes and exact values of the slice, whichever `to` has, with its scales.
void write_slice(const Fp8Matrix& to, const at::Tensor& slice, const WeightSlice& place);
/// `from`: codes of the slice and scales of the weight.
void decode_slice(const at::Tensor& exact, const Fp8Matrix& from, const WeightSlice& place);

}  // namespace athanor::kernels::cpu
