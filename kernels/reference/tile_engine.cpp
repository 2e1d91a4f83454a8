#include "kernels/reference/tile_engine.h"

#include <cstring>

#include "core/error.h"
#include "kernels/cpu/tile_packing.h"

namespace athanor::kernels::reference {
namespace {

using cpu::Bf16;

float of_upper_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

/// sums[n] += two terms of the chain. The product of two bf16 values is exact, so that this rounds as fused
/// multiply-adds do.
void add_pair(float* sums, float even, float odd, const Bf16* pairs) {
  for (int64_t n = 0; n < cpu::kTileColumns; ++n) {
    uint32_t pair;
    std::memcpy(&pair, pairs + 2 * n, sizeof(pair));
    sums[n] += even * of_upper_bits(pair << 16);
    sums[n] += odd * of_upper_bits(pair & 0xffff0000u);
  }
}

void multiply(int64_t m, int64_t k, const Bf16* a, int64_t a_stride, const Bf16* b, float* c,
              int64_t c_stride, bool accumulate) {
  ATHANOR_CHECK(m % 16 == 0 && m >= 16 && m <= 128 && k % 2 == 0 && k > 0,
                "tile engine: {} rows, depth {}; expected 16, 32, ... 128 rows and an even depth", m, k);
  for (int64_t row = 0; row < m; ++row) {
    float* sums = c + row * c_stride;
    if (!accumulate) std::memset(sums, 0, cpu::kTileColumns * sizeof(float));
    for (int64_t i = 0; i < k; i += 2)
      add_pair(sums, of_upper_bits(static_cast<uint32_t>(a[row * a_stride + i].bits) << 16),
               of_upper_bits(static_cast<uint32_t>(a[row * a_stride + i + 1].bits) << 16),
               b + i * cpu::kTileColumns);
  }
}

void release() {}

constexpr cpu::TileEngine kEngine{multiply, release, "reference"};

}  // namespace

const cpu::TileEngine& tile_engine() {
  return kEngine;
}

}  // namespace athanor::kernels::reference
