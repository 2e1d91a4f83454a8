// Forward. A piece is up to 1,024 query rows of one key/value head of one sequence, in tiles of 128. It packs
// its keys and values in chunks of 1,024; every tile passes over the chunk, block by block, and keeps its
// running softmax from chunk to chunk.
#include "kernels/cpu/tile_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/parallel_for.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/tile_attention_operands.h"

namespace athanor::kernels::cpu {
namespace {

constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;
constexpr int64_t kChunkKeys = kChunkBlocks * kBlockKeys;

struct QueryPiece {
  size_t sequence;
  int64_t group, first_row, num_rows;
  int64_t cost;  ///< in rows times keys
};

/// Working memory of a thread.
struct Memory {
  Scratch queries, outputs, largest, lane_sums, scores, probabilities, keys, values;
};

/// The rows of a piece: their queries, padded, and their running softmax.
struct PieceRows {
  Bf16* queries;   ///< [rows][as_depth(qk_size)]
  float* outputs;  ///< [rows][as_columns(v_size)]
  float *largest, *lane_sums;
};

class PieceRunner {
 public:
  PieceRunner(const AttentionShape& shape, const Sequence<Bf16>& sequence, const QueryPiece& piece,
              const TileEngine& engine)
      : shape_(shape),
        sequence_(sequence),
        piece_(piece),
        engine_(engine),
        map_{shape.heads_per_group(), piece.group * shape.heads_per_group(), 0},
        first_position_(sequence.num_keys - sequence.num_queries),
        depth_(as_depth(shape.qk_size)),
        output_stride_(as_columns(shape.v_size)),
        padded_rows_(as_rows(piece.num_rows)) {
    static thread_local Memory memory;
    rows_ = {memory.queries.get<Bf16>(padded_rows_ * depth_),
             memory.outputs.get<float>(padded_rows_ * output_stride_),
             memory.largest.get<float>(padded_rows_), memory.lane_sums.get<float>(padded_rows_ * kSumLanes)};
    scores_ = memory.scores.get<float>(kTileRows * kBlockKeys);
    probabilities_ = memory.probabilities.get<Bf16>(kTileRows * kBlockKeys);
    keys_ = memory.keys.get<Bf16>(kChunkBlocks * key_columns_size(shape.qk_size));
    values_ = memory.values.get<Bf16>(kChunkBlocks * key_rows_size(shape.v_size));
  }

  void run() {
    start();
    const TilePlace all = place(0, piece_.num_rows);
    const int64_t end = all.position(piece_.num_rows - 1) + 1;
    for (int64_t key = key_block_start(shape_.visibility.first_key(all.position(0))); key < end;
         key += kChunkKeys)
      take_chunk(key, std::min(kChunkKeys, end - key));
    engine_.release();
    finish();
  }

 private:
  TilePlace place(int64_t first_row, int64_t num_rows) const {
    return {piece_.first_row + first_row, num_rows, shape_.heads_per_group(), first_position_};
  }

  void start() {
    map_.for_each(piece_.first_row, piece_.num_rows, [&](int64_t i, int64_t query, int64_t head) {
      copy_padded(rows_.queries + i * depth_, sequence_.q.row(query, head), depth_, shape_.qk_size);
    });
    const int64_t num_gaps = padded_rows_ - piece_.num_rows;
    std::fill_n(rows_.queries + piece_.num_rows * depth_, num_gaps * depth_, Bf16{});
    std::fill_n(rows_.outputs, padded_rows_ * output_stride_, 0.0f);
    std::fill_n(rows_.largest, padded_rows_, -std::numeric_limits<float>::infinity());
    std::fill_n(rows_.lane_sums, padded_rows_ * kSumLanes, 0.0f);
  }

  void take_chunk(int64_t start, int64_t num_keys) {
    pack_chunk(start, num_keys);
    for (int64_t row = 0; row < piece_.num_rows; row += kTileRows)
      for (int64_t block = 0; block * kBlockKeys < num_keys; ++block)
        take_block(row, block, start + block * kBlockKeys);
  }

  void pack_chunk(int64_t start, int64_t num_keys) {
    for (int64_t first = 0; first < num_keys; first += kBlockKeys) {
      const int64_t count = std::min(kBlockKeys, num_keys - first), block = first / kBlockKeys;
      pack_key_columns(keys_ + block * key_columns_size(shape_.qk_size),
                       sequence_.k.row(start + first, piece_.group), sequence_.k.token_stride, count,
                       shape_.qk_size);
      pack_key_rows(values_ + block * key_rows_size(shape_.v_size),
                    sequence_.v.row(start + first, piece_.group), sequence_.v.token_stride, count,
                    shape_.v_size);
    }
  }

  /// One tile of rows, from first_row on, against one block of keys.
  void take_block(int64_t first_row, int64_t block, int64_t block_start) {
    const TilePlace tile = place(first_row, std::min(kTileRows, piece_.num_rows - first_row));
    RowRange rows{0, 0};
    for (int64_t half = 0; half < 2; ++half) {
      const int64_t key = block_start + half * kHalfBlockKeys;
      const RowRange seeing =
          rows_that_see(tile, shape_.visibility, key, key + kHalfBlockKeys, kTileRowMultiple);
      if (!seeing.empty()) compute_scores(first_row, seeing, block, half);
      rows = joined(rows, seeing);
    }
    if (rows.empty()) return;
    softmax(tile, first_row, rows, block_start);
    add_values(first_row, rows, block);
  }

  void compute_scores(int64_t first_row, RowRange rows, int64_t block, int64_t half) {
    multiply(engine_, {.m = rows.size(),
                       .k = depth_,
                       .a = rows_.queries + (first_row + rows.begin) * depth_,
                       .a_stride = depth_,
                       .b = keys_ + (2 * block + half) * kHalfBlockKeys * depth_,
                       .c = scores_ + rows.begin * kBlockKeys + half * kHalfBlockKeys,
                       .c_stride = kBlockKeys,
                       .accumulate = false});
  }

  void softmax(const TilePlace& tile, int64_t first_row, RowRange rows, int64_t block_start) {
    KeyRange ranges[kTileRows];
    const KeyRange* visible = visible_keys(tile, shape_.visibility, rows, block_start, ranges);
    const int64_t first = first_row + rows.begin;
    tile_softmax_table().forward(
        {rows.size(), scores_ + rows.begin * kBlockKeys, visible, shape_.softmax_scale * kLog2E},
        {rows_.largest + first, rows_.lane_sums + first * kSumLanes, rows_.outputs + first * output_stride_,
         output_stride_},
        probabilities_ + rows.begin * kBlockKeys);
  }

  void add_values(int64_t first_row, RowRange rows, int64_t block) {
    multiply(engine_, {.m = rows.size(),
                       .k = kBlockKeys,
                       .a = probabilities_ + rows.begin * kBlockKeys,
                       .a_stride = kBlockKeys,
                       .b = values_ + block * key_rows_size(shape_.v_size),
                       .num_blocks = output_stride_ / kTileColumns,
                       .c = rows_.outputs + (first_row + rows.begin) * output_stride_,
                       .c_stride = output_stride_,
                       .accumulate = true});
  }

  void finish() {
    const auto finish_row = attention_row_table<Bf16>().finish_row;
    map_.for_each(piece_.first_row, piece_.num_rows, [&](int64_t i, int64_t query, int64_t head) {
      const float sum = finish_row(sequence_.o.row(query, head), rows_.outputs + i * output_stride_,
                                   rows_.lane_sums + i * kSumLanes, shape_.v_size);
      if (sequence_.lse)
        sequence_.lse[query * shape_.num_heads + head] = rows_.largest[i] * kLn2 + std::log(sum);
    });
  }

  const AttentionShape& shape_;
  const Sequence<Bf16>& sequence_;
  const QueryPiece& piece_;
  const TileEngine& engine_;
  RowMap map_;
  int64_t first_position_, depth_, output_stride_, padded_rows_;
  PieceRows rows_;
  float* scores_;
  Bf16 *probabilities_, *keys_, *values_;
};

int64_t num_rows_of(const AttentionShape& shape, const Sequence<Bf16>& sequence) {
  return sequence.num_queries * shape.heads_per_group();
}

/// As many rows as share the packing of keys without leaving threads idle.
int64_t rows_per_piece(const AttentionShape& shape, const std::vector<Sequence<Bf16>>& sequences) {
  const auto num_pieces = [&](int64_t rows) {
    int64_t count = 0;
    for (const auto& sequence : sequences) count += (num_rows_of(shape, sequence) + rows - 1) / rows;
    return count * shape.num_groups;
  };
  int64_t rows = kMaxPieceTiles * kTileRows;
  while (rows > kTileRows && core::num_threads() > 1 &&
         num_pieces(rows) < kTilePiecesPerThread * core::num_threads())
    rows /= 2;
  return rows;
}

// Longest pieces first, so that the threads end together.
std::vector<QueryPiece> cut_into_pieces(const AttentionShape& shape,
                                        const std::vector<Sequence<Bf16>>& sequences) {
  const int64_t max_rows = rows_per_piece(shape, sequences), heads = shape.heads_per_group();
  std::vector<QueryPiece> pieces;
  for (size_t s = 0; s < sequences.size(); ++s)
    for (int64_t first = 0, all = num_rows_of(shape, sequences[s]); first < all; first += max_rows) {
      const int64_t num_rows = std::min(max_rows, all - first);
      const int64_t first_position = sequences[s].num_keys - sequences[s].num_queries;
      const int64_t first_key = shape.visibility.first_key(first_position + first / heads);
      const int64_t last_key = first_position + (first + num_rows - 1) / heads;
      for (int64_t group = 0; group < shape.num_groups; ++group)
        pieces.push_back({s, group, first, num_rows, num_rows * (last_key + 1 - first_key)});
    }
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const QueryPiece& a, const QueryPiece& b) { return a.cost > b.cost; });
  return pieces;
}

}  // namespace

void run_in_tiles(const AttentionShape& shape, const std::vector<Sequence<Bf16>>& sequences,
                  const TileEngine& engine) {
  const std::vector<QueryPiece> pieces = cut_into_pieces(shape, sequences);
  core::parallel_for(static_cast<int64_t>(pieces.size()), [&](int64_t i) {
    const QueryPiece& piece = pieces[static_cast<size_t>(i)];
    PieceRunner(shape, sequences[piece.sequence], piece, engine).run();
  });
}

}  // namespace athanor::kernels::cpu
