// bf16 products on machines with tile hardware (AMX), through a block product that LibTorch exports.
//
// B is packed in blocks of 64 columns, each [ceil(K / 2)][64][2]: two values of k side by side, the last
// block and an odd last k padded with zeros. A block of up to 128 rows (a multiple of 16) times 64 columns is
// one call; the whole depth in one call, except for weight gradients, whose depth (tokens) is cut every 512
// so that few shapes exist. The order of sums is the hardware's, but fixed: it depends on neither the other
// rows nor the threads.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/products.h"

namespace athanor::kernels::cpu {

constexpr int64_t kTileColumns = 64;

/// One block product: c [m, 64] (+)= a [m, k] · b, k even, strides in elements.
struct TileEngine {
  void (*multiply)(int64_t m, int64_t k, const Bf16* a, int64_t a_stride, const Bf16* b, float* c,
                   int64_t c_stride, bool accumulate);
  /// Called by a thread at the end of a piece.
  void (*release)();
};

/// The engine of this machine, or null: no such hardware, or it disagreed with gemm.h on a small product
/// (logged once).
const TileEngine* tile_engine();

/// Whether the engine gives what gemm.h gives, within rounding, on a small product with odd sizes.
bool agrees_with_gemm(const TileEngine& engine);

/// Elements that a packed operand takes.
constexpr int64_t tile_packed_size(int64_t num_columns, int64_t depth) {
  return (num_columns + kTileColumns - 1) / kTileColumns * kTileColumns * ((depth + 1) / 2 * 2);
}
/// Packs b[n * column_stride + k * depth_stride].
void pack_tiles(Bf16* packed, const Bf16* b, int64_t column_stride, int64_t depth_stride, int64_t num_columns,
                int64_t depth);

/// One piece (at most 256 rows), as run_piece.
void run_tile_piece(const Product& product, const Piece& piece, const TileEngine& engine);

/// As run_products; every operand is bf16, b plain or kTileBlocks.
void run_tile_products(const std::vector<Product>& products, const TileEngine& engine);

}  // namespace athanor::kernels::cpu
