// Where the tiles of a quantised matrix lie, as whole numbers, read alike by nvcc and by the host's compiler
// (tests/kernels/fp8_kernels_test.cpp).
//
// Kernels take a matrix in *stretches*: what one row of it shares with 128 columns, at most 128 neighbours in
// memory. A warp takes one stretch.
#pragma once

#include <cstdint>

#include "kernels/cuda/fp8_arithmetic.h"
#include "kernels/cuda/table.h"

namespace athanor::kernels::cuda {

constexpr int64_t kTile = ATHANOR_CUDA_FP8_TILE;

/// a / b for numbers that are not negative; on a GPU, 32 bits are several times faster than 64.
ATHANOR_HOST_DEVICE inline int64_t whole_quotient(int64_t a, int64_t b) {
  if (((a | b) >> 32) == 0) return static_cast<uint32_t>(a) / static_cast<uint32_t>(b);
  return a / b;
}
ATHANOR_HOST_DEVICE inline int64_t tiles_of(int64_t size) {
  return (size + kTile - 1) / kTile;
}
ATHANOR_HOST_DEVICE inline int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}
ATHANOR_HOST_DEVICE inline int64_t larger(int64_t a, int64_t b) {
  return a > b ? a : b;
}

/// Up to 128 rows of one group that share scales, and where their group begins.
struct TokenTile {
  int64_t row_begin, num_rows;
  int64_t group_tile, group_num_tiles;  ///< the first tile of the group, and how many it has
};
ATHANOR_HOST_DEVICE inline TokenTile token_tile(const int32_t* tiles, int64_t index) {
  const int32_t* tile = tiles + 4 * index;
  return {tile[0], tile[1], tile[2], tile[3]};
}

struct Fp8Stretch {
  int64_t row, column;  ///< of the first element; rows of a stack of matrices are counted through
  int count;            ///< 0: nothing here
  int64_t scale;        ///< index of the first element's scale
  int scale_step;       ///< 0: all share it; 1: each has its own, one after the other
};

/// Rows that elements [begin, end) touch.
ATHANOR_HOST_DEVICE inline int64_t first_row(const AthanorCudaFp8Place& place) {
  return whole_quotient(place.begin, place.num_columns);
}
ATHANOR_HOST_DEVICE inline int64_t num_stretches(const AthanorCudaFp8Place& place) {
  if (place.end <= place.begin) return 0;
  if (place.tiles == ATHANOR_CUDA_FP8_TOKEN)
    return place.num_token_tiles * kTile * tiles_of(place.num_columns);
  const int64_t last_row = whole_quotient(place.end - 1, place.num_columns);
  return (last_row - first_row(place) + 1) * tiles_of(place.num_columns);
}

/// The row of blocks in which a row lies; both count through all matrices.
ATHANOR_HOST_DEVICE inline int64_t band_of(const AthanorCudaFp8Place& place, int64_t row) {
  const int64_t matrix = whole_quotient(row, place.num_rows);
  return matrix * tiles_of(place.num_rows) + (row - matrix * place.num_rows) / kTile;
}

ATHANOR_HOST_DEVICE inline Fp8Stretch token_stretch(const AthanorCudaFp8Place& place, int64_t row_index,
                                                    int64_t column) {
  const int64_t index = row_index / kTile, within = row_index % kTile;
  const TokenTile tile = token_tile(place.token_tiles, index);
  const int64_t count = within < tile.num_rows ? smaller(kTile, place.num_columns - column) : 0;
  return {tile.row_begin + within, column, static_cast<int>(count), index * place.num_columns + column, 1};
}

ATHANOR_HOST_DEVICE inline Fp8Stretch stretch_at(const AthanorCudaFp8Place& place, int64_t index) {
  const int64_t tiles_across = tiles_of(place.num_columns), row_index = whole_quotient(index, tiles_across);
  const int64_t tile = index - row_index * tiles_across;
  if (place.tiles == ATHANOR_CUDA_FP8_TOKEN) return token_stretch(place, row_index, tile * kTile);
  const int64_t row = first_row(place) + row_index, row_begin = row * place.num_columns;
  const int64_t begin = larger(place.begin, row_begin + tile * kTile);
  const int64_t end = smaller(place.end, row_begin + smaller((tile + 1) * kTile, place.num_columns));
  const int64_t band = place.tiles == ATHANOR_CUDA_FP8_ROW ? row : band_of(place, row);
  return {row, begin - row_begin, static_cast<int>(larger(end - begin, 0)), band * tiles_across + tile, 0};
}

/// Where 128 rows of a matrix go when it is transposed: element (row_begin + i, d) to out_begin + d * pitch +
/// i, for i below num_written; those from num_rows on are zero.
struct TransposedTile {
  int64_t row_begin, num_rows, num_written, out_begin, pitch;
};
/// Token tiles: every group becomes a matrix of its own, [D, 128 * its tiles], padded with zeros.
/// Else every matrix of num_rows rows becomes one, [D, num_rows].
ATHANOR_HOST_DEVICE inline TransposedTile transposed_tile(const AthanorCudaFp8Transpose& p, int64_t index) {
  if (p.token_tiles) {
    const TokenTile tile = token_tile(p.token_tiles, index);
    const int64_t group_begin = tile.group_tile * kTile * p.num_columns;
    return {tile.row_begin, tile.num_rows, kTile, group_begin + (index - tile.group_tile) * kTile,
            tile.group_num_tiles * kTile};
  }
  const int64_t matrix = whole_quotient(index, tiles_of(p.num_rows));
  const int64_t first = (index - matrix * tiles_of(p.num_rows)) * kTile;
  const int64_t count = smaller(kTile, p.num_rows - first);
  return {matrix * p.num_rows + first, count, count, matrix * p.num_rows * p.num_columns + first, p.num_rows};
}

}  // namespace athanor::kernels::cuda
