// Plain, slow twins of kernels/fp8.h: codes by search among the values of all codes, products as literal
// chains.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "kernels/fp8.h"

namespace athanor::kernels::reference {

/// The two formats of arXiv 2209.05433. E4M3 spends its highest code alone on NaN, E5M2 keeps a whole
/// exponent for infinity and NaN as IEEE does. Only E4M3 is trained with.
enum class Fp8Format { kE4m3, kE5m2 };

/// The value of a code, from the definition of the format.
float fp8_value(uint8_t code, Fp8Format format = Fp8Format::kE4m3);
/// The code whose value is nearest, the even one of two; beyond the largest finite value: that one. NaN: the
/// highest code, with the sign of x.
uint8_t fp8_code(float x, Fp8Format format = Fp8Format::kE4m3);

/// Element by element: its code, the value of that code, the scale of its tile.
struct QuantisedElements {
  at::Tensor codes;           ///< uint8
  at::Tensor values, scales;  ///< fp32, as large as x
};
QuantisedElements quantise(const at::Tensor& x, Fp8Tiles tiles, const Fp8Options& options,
                           const std::vector<int64_t>& offsets = {});

/// fp32 [M, N] = a [M, K] · b [K, N] (given as elements whose tiles along K start at multiples of 128), added
/// to `start`: the sums that fp8.h promises.
at::Tensor fp8_product(const QuantisedElements& a_MK, const QuantisedElements& b_KN, Fp8Scale scale,
                       const std::optional<at::Tensor>& start = {});

}  // namespace athanor::kernels::reference
