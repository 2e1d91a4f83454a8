#include "kernels/cpu/tile_attention_operands.h"

namespace athanor::kernels::cpu {
namespace {

/// The first row whose query stands at `position` or later.
int64_t first_row_at(const TilePlace& tile, int64_t position) {
  const int64_t row = (position - tile.first_position) * tile.heads_per_group - tile.first_row;
  return std::clamp<int64_t>(row, 0, tile.num_rows);
}

}  // namespace

void multiply(const TileEngine& engine, const TileProduct& p) {
  for (int64_t block = 0; block < p.num_blocks; ++block)
    for (int64_t row = 0; row < p.m; row += kTileCallRows)
      engine.multiply(std::min(kTileCallRows, p.m - row), p.k, p.a + row * p.a_stride, p.a_stride,
                      p.b + block * kTileColumns * p.k, p.c + row * p.c_stride + block * kTileColumns,
                      p.c_stride, p.accumulate);
}

RowRange rows_that_see(const TilePlace& tile, const Visibility& visibility, int64_t key_begin,
                       int64_t key_end, int64_t row_multiple) {
  const int64_t begin = first_row_at(tile, key_begin), window = visibility.sliding_window;
  const int64_t end = window > 0 ? first_row_at(tile, key_end - 1 + window) : tile.num_rows;
  if (begin >= end) return {0, 0};
  return {begin / row_multiple * row_multiple, round_up(end, row_multiple)};
}

const KeyRange* visible_keys(const TilePlace& tile, const Visibility& visibility, RowRange rows,
                             int64_t block_start, KeyRange* visible) {
  if (rows.end <= tile.num_rows && tile.position(rows.begin) + 1 >= block_start + kBlockKeys &&
      visibility.first_key(tile.position(rows.end - 1)) <= block_start)
    return nullptr;
  const int64_t end = std::min(rows.end, tile.num_rows);
  const RowMap map{tile.heads_per_group, 0, tile.first_position};
  map.for_each(tile.first_row + rows.begin, end - rows.begin, [&](int64_t i, int64_t position, int64_t) {
    visible[i] = visibility.in_block(position, block_start);
  });
  std::fill(visible + (end - rows.begin), visible + rows.size(), KeyRange{0, 0});
  return visible;
}

void copy_padded(Bf16* to, const Bf16* from, int64_t padded_size, int64_t size) {
  std::copy_n(from, size, to);
  std::fill_n(to + size, padded_size - size, Bf16{});
}

void pack_key_columns(Bf16* packed, const Bf16* keys, int64_t stride, int64_t num_keys, int64_t size) {
  for (int64_t first = 0; first < num_keys; first += kHalfBlockKeys)
    tile_packing_table().pack_columns(packed + first * as_depth(size), keys + first * stride, stride,
                                      std::min(kHalfBlockKeys, num_keys - first), size);
}

void pack_key_rows(Bf16* packed, const Bf16* keys, int64_t stride, int64_t num_keys, int64_t size) {
  for (int64_t column = 0; column < size; column += kTileColumns)
    tile_packing_table().pack_split_rows(packed + column * kBlockKeys, keys + column, stride,
                                         std::min(kTileColumns, size - column), num_keys, kBlockKeys);
}

}  // namespace athanor::kernels::cpu
