// Inside attention on tiles: which rows of a tile see which keys, products of any height and width, and how
// keys, values and queries are brought into the engine's order.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/attention_heads.h"
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/tile_engine.h"
#include "kernels/cpu/tile_piece.h"
#include "kernels/cpu/tile_softmax.h"

namespace athanor::kernels::cpu {

constexpr int64_t kTileRows = kTileCallRows;
constexpr int64_t kChunkBlocks = 8;  // key blocks that are packed at a time
constexpr int64_t kChunkKeys = kChunkBlocks * kBlockKeys;
constexpr int64_t kMaxPieceTiles = 8;
constexpr float kLog2E = 1.44269504f;
constexpr int64_t kTilePiecesPerThread = 4;
static_assert(kHalfBlockKeys == kTileColumns && kBlockKeys == 2 * kHalfBlockKeys);

/// Head sizes as the engine wants them: even where they are summed over, whole blocks of 64 columns where
/// they are the result's columns, whole 16s where they are its rows.
constexpr int64_t as_depth(int64_t size) {
  return round_up(size, 2);
}
constexpr int64_t as_columns(int64_t size) {
  return round_up(size, kTileColumns);
}
constexpr int64_t as_rows(int64_t size) {
  return round_up(size, kTileRowMultiple);
}

constexpr int64_t key_block_start(int64_t key) {
  return key / kBlockKeys * kBlockKeys;
}

/// c [m, 64 · num_blocks] (+)= a [m, k] · b in calls of at most 128 rows and 64 columns.
struct TileProduct {
  int64_t m, k;
  const Bf16* a;
  int64_t a_stride;
  const Bf16* b;
  int64_t num_blocks = 1;
  float* c;
  int64_t c_stride;
  bool accumulate;
};
void multiply(const TileEngine& engine, const TileProduct& product);

/// Rows [begin, end) of a tile.
struct RowRange {
  int64_t begin, end;

  int64_t size() const { return end - begin; }
  bool empty() const { return begin >= end; }
};

inline RowRange joined(RowRange a, RowRange b) {
  if (a.empty() || b.empty()) return a.empty() ? b : a;
  return {std::min(a.begin, b.begin), std::max(a.end, b.end)};
}

/// The rows of a tile and where they stand: row r belongs to query (first_row + r) / heads_per_group, and
/// query i stands at position first_position + i.
struct TilePlace {
  int64_t first_row, num_rows, heads_per_group, first_position;

  int64_t position(int64_t row) const { return first_position + (first_row + row) / heads_per_group; }
};

/// The rows that see any of the keys [key_begin, key_end), widened to multiples of `row_multiple`.
RowRange rows_that_see(const TilePlace& tile, const Visibility& visibility, int64_t key_begin,
                       int64_t key_end, int64_t row_multiple);

/// What each of the rows sees of the block, or null where every row sees all of it. `visible` has room for
/// kTileRows ranges; rows past the tile see nothing.
const KeyRange* visible_keys(const TilePlace& tile, const Visibility& visibility, RowRange rows,
                             int64_t block_start, KeyRange* visible);

/// to[0..size) = from, zeros up to padded_size.
void copy_padded(Bf16* to, const Bf16* from, int64_t padded_size, int64_t size);

/// A block of up to 128 keys (or values) as the right operand of a product that sums over the head size: two
/// halves of 64 columns, [as_depth(size) / 2][64][2]. A half without keys is left alone.
void pack_key_columns(Bf16* packed, const Bf16* keys, int64_t stride, int64_t num_keys, int64_t size);
constexpr int64_t key_columns_size(int64_t size) {
  return kBlockKeys * as_depth(size);
}
/// The same as the right operand of a product that sums over the 128 keys, in split order (tile_softmax.h):
/// blocks of 64 columns of the head size, [64 pairs of keys][64][2].
void pack_key_rows(Bf16* packed, const Bf16* keys, int64_t stride, int64_t num_keys, int64_t size);
constexpr int64_t key_rows_size(int64_t size) {
  return kBlockKeys * as_columns(size);
}

}  // namespace athanor::kernels::cpu
