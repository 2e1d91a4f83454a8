// Inside the tile products: how depth is cut, how a plain right operand lies when it is packed, and one
// piece.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cpu/products.h"
#include "kernels/cpu/tile_products.h"

namespace athanor::kernels::cpu {

constexpr int64_t kTileCallRows = 128, kTileRowMultiple = 16;
constexpr int64_t kTransposedTileDepth = 512;

constexpr int64_t round_up(int64_t a, int64_t multiple) {
  return (a + multiple - 1) / multiple * multiple;
}

/// A step of depth: [k, k + depth), of which padded_depth is computed (the rest are zeros).
struct DepthStep {
  int64_t k, depth, padded_depth;
};

/// What the computed depth of a product is a multiple of.
int64_t depth_multiple(const Product& product);
/// Steps of `step`, a multiple of depth_multiple or the whole depth; none for a product of no depth.
std::vector<DepthStep> cut_depth(const Product& product, int64_t step);

/// The address of b[k, column] of a plain operand.
const Bf16* right_element(const RightOperand& b, int64_t column, int64_t k);
/// Packs up to 64 columns of B for one step of depth, padded_depth deep.
void pack_step(Bf16* packed, const RightOperand& b, int64_t column, int64_t width, const DepthStep& step);
/// Where the packed block of 64 columns starts: all its steps lie one after the other.
int64_t block_offset(const Product& product, int64_t column);

/// One piece. `packed`: the whole right operand as pack_step and block_offset lay it, or null: what the piece
/// needs is packed just before use.
void run_tile_piece(const Product& product, const Piece& piece, const Bf16* packed, const TileEngine& engine);

}  // namespace athanor::kernels::cpu
