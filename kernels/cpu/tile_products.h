// bf16 products on machines with bf16 hardware, through the block product of tile_engine.h.
//
// B is packed in blocks of 64 columns, each [ceil(K / 2)][64][2]: two values of k side by side, the last
// block and an odd last k padded with zeros. A block of up to 128 rows (a multiple of 16) times 64 columns is
// one call; the whole depth in one call, except for weight gradients, whose depth (tokens) is cut every 512
// so that few shapes exist. The order of sums is the hardware's, but fixed: it depends on neither the other
// rows nor the threads.
//
// Every operand is brought into the hardware's order as rarely as possible: a plain B once per product, for
// all rows, in memory of the calling thread; a transposed or ragged A once per row block of a piece, for all
// of its columns. Where the output is fp32 and the block is whole, the hardware sums in the output itself.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/products.h"
#include "kernels/cpu/tile_engine.h"
#include "kernels/cpu/tile_packing.h"

namespace athanor::kernels::cpu {

/// Elements that a packed operand takes.
constexpr int64_t tile_packed_size(int64_t num_columns, int64_t depth) {
  return (num_columns + kTileColumns - 1) / kTileColumns * kTileColumns * ((depth + 1) / 2 * 2);
}
/// Packs B, which lies as `layout` (kColumns or kRows) says.
void pack_tiles(Bf16* packed, const Bf16* b, RightLayout layout, int64_t stride, int64_t num_columns,
                int64_t depth);

/// One piece (any size, columns from a multiple of 64), as run_piece.
void run_tile_piece(const Product& product, const Piece& piece, const TileEngine& engine);

/// How much of the plain right operands is packed at a time: 16 MiB, which every thread that starts products
/// keeps. What is larger is cut in depth (fp32 weight gradients) or in columns, 64 at least.
constexpr int64_t kMaxPackedTileElements = int64_t{8} << 20;

/// As run_products; every operand is bf16, b plain or (a not transposed) kTileBlocks.
void run_tile_products(const std::vector<Product>& products, const TileEngine& engine,
                       int64_t max_packed_elements = kMaxPackedTileElements);

}  // namespace athanor::kernels::cpu
