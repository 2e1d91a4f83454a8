// Products whose operands carry a scale for every 128 values of the summed dimension, on all threads: one
// ordinary product for each such block of depth, then sum = product * (left scale * right scale) + sum,
// blocks ascending.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cpu/products.h"

namespace athanor::kernels::cpu {

constexpr int64_t kScaledDepth = 128;

/// The scale of row (or column) i in depth block k: data[i / sharers * stride + k * block_stride].
struct DepthScales {
  const float* data;
  int64_t sharers;  ///< how many neighbours share a scale
  int64_t stride;
  int64_t block_stride;

  float at(int64_t i, int64_t block) const { return data[i / sharers * stride + block * block_stride]; }
};

/// `product` as for run_products, bf16 operands, b not packed.
struct ScaledProduct {
  Product product;
  DepthScales row_scales, column_scales;
};

void run_scaled_products(const std::vector<ScaledProduct>& products);

}  // namespace athanor::kernels::cpu
