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

constexpr float kLn2 = 0.693147181f;

struct QueryPiece {
  size_t sequence;
  int64_t group, first_row, num_rows;
  int64_t cost;  ///< in rows times keys
};

/// Working memory of a thread.
struct ForwardMemory {
  Scratch queries, outputs, largest, lane_sums, scores, probabilities, keys, values;
};

/// A tile of rows: its queries, padded with zeros to whole 16s, and its running softmax.
struct Tile {
  TilePlace place;
  Bf16* queries;   ///< [rows][as_depth(qk_size)]
  float* outputs;  ///< [rows][as_columns(v_size)]
  float *largest, *lane_sums;

  int64_t padded_rows() const { return as_rows(place.num_rows); }
};

class TileRunner {
 public:
  TileRunner(const AttentionShape& shape, const Sequence<Bf16>& sequence, const QueryPiece& piece,
             const TileEngine& engine)
      : shape_(shape),
        sequence_(sequence),
        piece_(piece),
        engine_(engine),
        map_{shape.heads_per_group(), piece.group * shape.heads_per_group(), 0},
        first_position_(sequence.num_keys - sequence.num_queries),
        depth_(as_depth(shape.qk_size)),
        output_stride_(as_columns(shape.v_size)),
        num_tiles_((piece.num_rows + kTileRows - 1) / kTileRows) {
    const TilePlace first = place(0), last = place(num_tiles_ - 1);
    begin_ = key_block_start(shape.visibility.first_key(first.position(0)));
    end_ = last.position(last.num_rows - 1) + 1;
  }

  void run() {
    for (int64_t key = begin_; key < end_; key += kChunkKeys)
      take_chunk(key, std::min(kChunkKeys, end_ - key));
    engine_.release();
  }

 private:
  TilePlace place(int64_t t) const {
    const int64_t first_row = t * kTileRows;
    return {piece_.first_row + first_row, std::min(kTileRows, piece_.num_rows - first_row),
            shape_.heads_per_group(), first_position_};
  }

  /// With one chunk of keys a tile is done before the next one starts, and takes its memory.
  Tile tile(int64_t t) const {
    const bool has_chunks = end_ - begin_ > kChunkKeys;
    const int64_t num_rows = (has_chunks ? num_tiles_ : 1) * kTileRows, row = has_chunks ? t * kTileRows : 0;
    return {place(t), memory_.queries.get<Bf16>(num_rows * depth_) + row * depth_,
            memory_.outputs.get<float>(num_rows * output_stride_) + row * output_stride_,
            memory_.largest.get<float>(num_rows) + row,
            memory_.lane_sums.get<float>(num_rows * kSumLanes) + row * kSumLanes};
  }

  void take_chunk(int64_t start, int64_t num_keys) {
    pack_chunk(start, num_keys);
    for (int64_t t = 0; t < num_tiles_; ++t) {
      const Tile current = tile(t);
      if (start == begin_) start_tile(current);
      for (int64_t block = 0; block * kBlockKeys < num_keys; ++block)
        take_block(current, block, start + block * kBlockKeys);
      if (start + num_keys == end_) finish_tile(current);
    }
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

  template <typename Body>
  void for_each_row(const TilePlace& place, const Body& body) const {
    map_.for_each(place.first_row, place.num_rows, body);
  }

  void start_tile(const Tile& tile) const {
    for_each_row(tile.place, [&](int64_t i, int64_t query, int64_t head) {
      copy_padded(tile.queries + i * depth_, sequence_.q.row(query, head), depth_, shape_.qk_size);
    });
    const int64_t num_rows = tile.padded_rows(), num_gaps = num_rows - tile.place.num_rows;
    std::fill_n(tile.queries + tile.place.num_rows * depth_, num_gaps * depth_, Bf16{});
    std::fill_n(tile.outputs, num_rows * output_stride_, 0.0f);
    std::fill_n(tile.largest, num_rows, -std::numeric_limits<float>::infinity());
    std::fill_n(tile.lane_sums, num_rows * kSumLanes, 0.0f);
  }

  void take_block(const Tile& tile, int64_t block, int64_t block_start) const {
    RowRange rows{0, 0};
    for (int64_t half = 0; half < 2; ++half) {
      const int64_t key = block_start + half * kHalfBlockKeys;
      const RowRange seeing =
          rows_that_see(tile.place, shape_.visibility, key, key + kHalfBlockKeys, kTileRowMultiple);
      if (!seeing.empty()) compute_scores(tile, seeing, block, half);
      rows = joined(rows, seeing);
    }
    if (rows.empty()) return;
    softmax(tile, rows, block_start);
    add_values(tile, rows, block);
  }

  void compute_scores(const Tile& tile, RowRange rows, int64_t block, int64_t half) const {
    multiply(engine_, {.m = rows.size(),
                       .k = depth_,
                       .a = tile.queries + rows.begin * depth_,
                       .a_stride = depth_,
                       .b = keys_ + (2 * block + half) * kHalfBlockKeys * depth_,
                       .c = scores_ + rows.begin * kBlockKeys + half * kHalfBlockKeys,
                       .c_stride = kBlockKeys,
                       .accumulate = false});
  }

  void softmax(const Tile& tile, RowRange rows, int64_t block_start) const {
    KeyRange ranges[kTileRows];
    const KeyRange* visible = visible_keys(tile.place, shape_.visibility, rows, block_start, ranges);
    tile_softmax_table().forward(
        {rows.size(), scores_ + rows.begin * kBlockKeys, visible, shape_.softmax_scale * kLog2E},
        {tile.largest + rows.begin, tile.lane_sums + rows.begin * kSumLanes,
         tile.outputs + rows.begin * output_stride_, output_stride_},
        probabilities_ + rows.begin * kBlockKeys);
  }

  void add_values(const Tile& tile, RowRange rows, int64_t block) const {
    multiply(engine_, {.m = rows.size(),
                       .k = kBlockKeys,
                       .a = probabilities_ + rows.begin * kBlockKeys,
                       .a_stride = kBlockKeys,
                       .b = values_ + block * key_rows_size(shape_.v_size),
                       .num_blocks = output_stride_ / kTileColumns,
                       .c = tile.outputs + rows.begin * output_stride_,
                       .c_stride = output_stride_,
                       .accumulate = true});
  }

  void finish_tile(const Tile& tile) const {
    const auto finish_row = attention_row_table<Bf16>().finish_row;
    for_each_row(tile.place, [&](int64_t i, int64_t query, int64_t head) {
      const float sum = finish_row(sequence_.o.row(query, head), tile.outputs + i * output_stride_,
                                   tile.lane_sums + i * kSumLanes, shape_.v_size);
      if (sequence_.lse)
        sequence_.lse[query * shape_.num_heads + head] = tile.largest[i] * kLn2 + std::log(sum);
    });
  }

  static ForwardMemory& memory() {
    static thread_local ForwardMemory memory;
    return memory;
  }

  const AttentionShape& shape_;
  const Sequence<Bf16>& sequence_;
  const QueryPiece& piece_;
  const TileEngine& engine_;
  RowMap map_;
  int64_t first_position_, depth_, output_stride_, num_tiles_;
  int64_t begin_, end_;  ///< the keys that any row sees, from the start of a block on
  ForwardMemory& memory_ = memory();
  float* scores_ = memory_.scores.get<float>(kTileRows * kBlockKeys);
  Bf16* probabilities_ = memory_.probabilities.get<Bf16>(kTileRows * kBlockKeys);
  Bf16* keys_ = memory_.keys.get<Bf16>(kChunkBlocks * key_columns_size(shape_.qk_size));
  Bf16* values_ = memory_.values.get<Bf16>(kChunkBlocks * key_rows_size(shape_.v_size));
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
    TileRunner(shape, sequences[piece.sequence], piece, engine).run();
  });
}

}  // namespace athanor::kernels::cpu
