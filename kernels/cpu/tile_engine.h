// The block product of bf16 hardware: AMX through what LibTorch exports, or AVX-512's dot products
// (dot_engine.h). Everything that runs on tiles takes it as an argument, so that tests can drive it with
// another one.
#pragma once

#include <cstdint>

#include "kernels/cpu/bf16.h"

namespace athanor::kernels::cpu {

/// One block product: c [m, 64] (+)= a [m, K] · b, k even, strides in elements.
struct TileEngine {
  void (*multiply)(int64_t m, int64_t k, const Bf16* a, int64_t a_stride, const Bf16* b, float* c,
                   int64_t c_stride, bool accumulate);
  /// Called by a thread at the end of a piece.
  void (*release)();
  const char* name = "unnamed";
  /// The same with the sums, and `bias` (64 values, or null) added last, rounded into bf16 rows. Null where
  /// sums have to go through memory. Rounds as RowTable::finish_row does.
  void (*multiply_rounded)(int64_t m, int64_t k, const Bf16* a, int64_t a_stride, const Bf16* b,
                           const float* bias, Bf16* out, int64_t out_stride) = nullptr;
  /// What m must be a multiple of.
  int64_t row_multiple = 16;
};

/// The engine of this machine, or null: no such hardware, or it disagreed with gemm.h on a small product
/// (logged once).
const TileEngine* tile_engine();

/// Whether the engine gives what gemm.h gives, within rounding, on small products: with odd sizes, and added
/// to what is there.
bool agrees_with_gemm(const TileEngine& engine);

}  // namespace athanor::kernels::cpu
