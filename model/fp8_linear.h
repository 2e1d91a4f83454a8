// Linear layers whose three products run on E4M3 tiles (kernels/fp8.h), for weights that are bound quantised.
//
// Forward: x in 1x128 tiles, the weight in blocks. Gradient of the input: dy in 1x128 tiles along the output
// features, the same blocks. Gradient of the weight: dy and x in tiles of 128 tokens. Activations and
// gradients between layers are bf16, weight gradients fp32.
//
// What the weight gradient takes of x: with power-of-two scales the codes of the forward pass, half the
// memory of bf16. Cutting them into new tiles moves exponents only: no mantissa is rounded twice, and what is
// lost is what falls below the smallest code of the new tile. With fp32 scales every value would be rounded
// twice, so x itself is kept. An input that can be recalled is quantised again: the same bits.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "model/functions.h"

namespace athanor::model {

/// x [T, K] bf16 · weight [N, K]ᵀ (+ bias [N] bf16) -> [T, N] bf16.
at::Tensor fp8_linear(const at::Tensor& x_TK, Parameter& weight, Parameter* bias, Recall recall);

/// Every row of group g times weight[g]; token tiles start at the first row of a group and source.
at::Tensor fp8_grouped_linear(const at::Tensor& x_PK, Parameter& weight, const RowGroups& groups);

}  // namespace athanor::model
