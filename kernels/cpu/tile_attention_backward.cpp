// Backward; the formulas are those of attention_backward.cpp. A walk takes its key blocks in chunks of 1,024
// keys, packed once, and every tile that sees the chunk passes over it, block by block. With s, dp, p and ds
// of a tile and a block [rows, 128 keys]:
//   dq += ds · k                        rows of the result are query rows
//   dkᵀ += qᵀ · ds,  dvᵀ += doᵀ · p     rows of the result are positions in a head
// so that p and ds go from the softmax into the next product without being transposed. dk and dv sum over
// tiles in ascending order, dq over key blocks; so the work may be cut as in attention_backward.cpp: one walk
// per head over everything, or walks over key blocks for dk and dv and walks over row tiles for dq
// (tile_attention_walks.h).
#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "core/parallel_for.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/tile_attention.h"
#include "kernels/cpu/tile_attention_operands.h"
#include "kernels/cpu/tile_attention_walks.h"

namespace athanor::kernels::cpu {
namespace {

constexpr int64_t kPairRows = 32;  // ranges of rows are multiples of this: they are also summed over

/// Working memory of a thread.
struct BackwardMemory {
  Scratch k_columns, v_columns, k_rows, dk, dv;              // a chunk of keys
  Scratch q, d_o, q_transposed, d_o_transposed, lse, delta;  // a tile of rows
  Scratch scores, dp, p_pairs, ds_pairs, ds;                 // a tile against a block
  Scratch dq, narrowed;
};

/// A tile of rows as the left operands of products: [128][size], and [size][128].
struct RowTile {
  TilePlace place;
  Bf16 *q, *d_o, *q_transposed, *d_o_transposed;
  float *lse, *delta;
};

class Walker {
 public:
  Walker(const AttentionShape& shape, const GradientDocument<Bf16>& document, const Walk& walk,
         const TileEngine& engine)
      : shape_(shape),
        document_(document),
        walk_(walk),
        engine_(engine),
        map_{shape.heads_per_group(), walk.group * shape.heads_per_group(), 0},
        num_rows_(document.num_tokens * shape.heads_per_group()),
        qk_depth_(as_depth(shape.qk_size)),
        v_depth_(as_depth(shape.v_size)),
        qk_rows_(as_rows(shape.qk_size)),
        v_rows_(as_rows(shape.v_size)),
        dq_stride_(as_columns(shape.qk_size)),
        begin_(walk.block_begin * kBlockKeys),
        end_(std::min(walk.block_end * kBlockKeys, document.num_tokens)) {}

  void run() {
    for (int64_t key = begin_; key < end_; key += kChunkKeys)
      take_chunk(key, std::min(kChunkKeys, end_ - key));
    engine_.release();
  }

 private:
  /// Sums of a tile, [128][dq_stride_]. With one chunk of keys a tile is done before the next one starts, and
  /// takes its memory.
  float* dq(int64_t tile) const {
    const bool has_chunks = end_ - begin_ > kChunkKeys;
    const int64_t size = kTileRows * dq_stride_, num_tiles = walk_.tile_end - walk_.tile_begin;
    return memory_.dq.get<float>((has_chunks ? num_tiles : 1) * size) +
           (has_chunks ? (tile - walk_.tile_begin) * size : 0);
  }
  Bf16* k_columns(int64_t block) const {
    const int64_t size = key_columns_size(shape_.qk_size);
    return memory_.k_columns.get<Bf16>(kChunkBlocks * size) + block * size;
  }
  Bf16* v_columns(int64_t block) const {
    const int64_t size = key_columns_size(shape_.v_size);
    return memory_.v_columns.get<Bf16>(kChunkBlocks * size) + block * size;
  }
  Bf16* k_rows(int64_t block) const {
    const int64_t size = key_rows_size(shape_.qk_size);
    return memory_.k_rows.get<Bf16>(kChunkBlocks * size) + block * size;
  }
  /// Sums of half a block of the chunk, [size][64 keys].
  float* dk(int64_t half_block) const {
    return memory_.dk.get<float>(2 * kChunkBlocks * qk_rows_ * kHalfBlockKeys) +
           half_block * qk_rows_ * kHalfBlockKeys;
  }
  float* dv(int64_t half_block) const {
    return memory_.dv.get<float>(2 * kChunkBlocks * v_rows_ * kHalfBlockKeys) +
           half_block * v_rows_ * kHalfBlockKeys;
  }

  void take_chunk(int64_t start, int64_t num_keys) {
    pack_chunk(start, num_keys);
    std::fill(std::begin(has_sums_), std::end(has_sums_), false);
    for (int64_t t = walk_.tile_begin; t < walk_.tile_end; ++t) {
      const TilePlace place = place_of(t);
      if (walk_.wants_queries && start == begin_) std::fill_n(dq(t), kTileRows * dq_stride_, 0.0f);
      if (!rows_that_see(place, shape_.visibility, start, start + num_keys, kPairRows).empty())
        take_tile(t, place, start, num_keys);
      if (walk_.wants_queries && start + num_keys == end_) write_dq(place, dq(t));
    }
    if (walk_.wants_keys) write_chunk(start, num_keys);
  }

  void take_tile(int64_t t, const TilePlace& place, int64_t start, int64_t num_keys) {
    const RowTile tile = load_tile(place);
    for (int64_t block = 0; block * kBlockKeys < num_keys; ++block)
      take_block(t, tile, block, start + block * kBlockKeys);
  }

  void pack_chunk(int64_t start, int64_t num_keys) const {
    for (int64_t first = 0; first < num_keys; first += kBlockKeys) {
      const int64_t count = std::min(kBlockKeys, num_keys - first), block = first / kBlockKeys;
      const Bf16* k = document_.k.row(start + first, walk_.group);
      const Bf16* v = document_.v.row(start + first, walk_.group);
      pack_key_columns(k_columns(block), k, document_.k.token_stride, count, shape_.qk_size);
      pack_key_columns(v_columns(block), v, document_.v.token_stride, count, shape_.v_size);
      if (walk_.wants_queries)
        pack_key_rows(k_rows(block), k, document_.k.token_stride, count, shape_.qk_size);
    }
  }

  TilePlace place_of(int64_t tile) const {
    const int64_t first_row = tile * kTileRows;
    return {first_row, std::min(kTileRows, num_rows_ - first_row), shape_.heads_per_group(), 0};
  }

  RowTile load_tile(const TilePlace& place) const {
    const RowTile tile{place,
                       memory_.q.get<Bf16>(kTileRows * qk_depth_),
                       memory_.d_o.get<Bf16>(kTileRows * v_depth_),
                       memory_.q_transposed.get<Bf16>(qk_rows_ * kTileRows),
                       memory_.d_o_transposed.get<Bf16>(v_rows_ * kTileRows),
                       memory_.lse.get<float>(kTileRows),
                       memory_.delta.get<float>(kTileRows)};
    copy_rows(tile);
    if (walk_.wants_keys) {
      transpose_rows(tile.q_transposed, tile.q, qk_depth_, shape_.qk_size, qk_rows_);
      transpose_rows(tile.d_o_transposed, tile.d_o, v_depth_, shape_.v_size, v_rows_);
    }
    return tile;
  }

  /// Rows past the end become zeros.
  void copy_rows(const RowTile& tile) const {
    map_.for_each(tile.place.first_row, tile.place.num_rows, [&](int64_t i, int64_t query, int64_t head) {
      copy_padded(tile.q + i * qk_depth_, document_.q.row(query, head), qk_depth_, shape_.qk_size);
      copy_padded(tile.d_o + i * v_depth_, document_.d_o.row(query, head), v_depth_, shape_.v_size);
      tile.lse[i] = document_.lse[query * shape_.num_heads + head] * kLog2E;
      tile.delta[i] = document_.delta[query * shape_.num_heads + head];
    });
    const int64_t used = tile.place.num_rows, gap = kTileRows - used;
    std::fill_n(tile.q + used * qk_depth_, gap * qk_depth_, Bf16{});
    std::fill_n(tile.d_o + used * v_depth_, gap * v_depth_, Bf16{});
    std::fill_n(tile.lse + used, gap, 0.0f);
    std::fill_n(tile.delta + used, gap, 0.0f);
  }

  static void transpose_rows(Bf16* to, const Bf16* from, int64_t stride, int64_t size, int64_t padded_size) {
    tile_packing_table().transpose(to, kTileRows, from, stride, size, kTileRows);
    std::fill_n(to + size * kTileRows, (padded_size - size) * kTileRows, Bf16{});
  }

  void take_block(int64_t t, const RowTile& tile, int64_t block, int64_t block_start) {
    RowRange halves[2], rows{0, 0};
    for (int64_t half = 0; half < 2; ++half) {
      const int64_t key = block_start + half * kHalfBlockKeys;
      halves[half] = rows_that_see(tile.place, shape_.visibility, key, key + kHalfBlockKeys, kPairRows);
      if (!halves[half].empty()) compute_scores(tile, halves[half], block, half);
      rows = joined(rows, halves[half]);
    }
    if (rows.empty()) return;
    softmax(tile, rows, block_start);
    for (int64_t half = 0; half < 2 && walk_.wants_keys; ++half)
      if (!halves[half].empty()) add_to_keys(tile, halves[half], 2 * block + half);
    if (walk_.wants_queries) add_to_queries(dq(t), rows, block);
  }

  void compute_scores(const RowTile& tile, RowRange rows, int64_t block, int64_t half) const {
    const int64_t place = rows.begin * kBlockKeys + half * kHalfBlockKeys;
    const auto product = [&](float* c, const Bf16* a, const Bf16* columns, int64_t depth) {
      multiply(engine_, {.m = rows.size(),
                         .k = depth,
                         .a = a + rows.begin * depth,
                         .a_stride = depth,
                         .b = columns + half * kHalfBlockKeys * depth,
                         .c = c + place,
                         .c_stride = kBlockKeys,
                         .accumulate = false});
    };
    product(scores_, tile.q, k_columns(block), qk_depth_);
    product(dp_, tile.d_o, v_columns(block), v_depth_);
  }

  void softmax(const RowTile& tile, RowRange rows, int64_t block_start) const {
    KeyRange ranges[kTileRows];
    const KeyRange* visible = visible_keys(tile.place, shape_.visibility, rows, block_start, ranges);
    const int64_t first_pair = rows.begin * kHalfBlockKeys;
    tile_softmax_table().backward(
        {rows.size(), scores_ + rows.begin * kBlockKeys, visible, shape_.softmax_scale * kLog2E},
        {dp_ + rows.begin * kBlockKeys, tile.lse + rows.begin, tile.delta + rows.begin, p_pairs_ + first_pair,
         ds_pairs_ + first_pair, kTileRows * kHalfBlockKeys, ds_ + rows.begin * kBlockKeys});
  }

  void add_to_keys(const RowTile& tile, RowRange rows, int64_t half_block) {
    const int64_t place = half_block % 2 * kTileRows * kHalfBlockKeys + rows.begin * kHalfBlockKeys;
    TileProduct product{.m = v_rows_,
                        .k = rows.size(),
                        .a = tile.d_o_transposed + rows.begin,
                        .a_stride = kTileRows,
                        .b = p_pairs_ + place,
                        .c = dv(half_block),
                        .c_stride = kHalfBlockKeys,
                        .accumulate = has_sums_[half_block]};
    multiply(engine_, product);
    product.m = qk_rows_;
    product.a = tile.q_transposed + rows.begin;
    product.b = ds_pairs_ + place;
    product.c = dk(half_block);
    multiply(engine_, product);
    has_sums_[half_block] = true;
  }

  void add_to_queries(float* dq, RowRange rows, int64_t block) const {
    multiply(engine_, {.m = rows.size(),
                       .k = kBlockKeys,
                       .a = ds_ + rows.begin * kBlockKeys,
                       .a_stride = kBlockKeys,
                       .b = k_rows(block),
                       .num_blocks = dq_stride_ / kTileColumns,
                       .c = dq + rows.begin * dq_stride_,
                       .c_stride = dq_stride_,
                       .accumulate = true});
  }

  void write_chunk(int64_t start, int64_t num_keys) const {
    for (int64_t first = 0; first < num_keys; first += kHalfBlockKeys) {
      const int64_t half_block = first / kHalfBlockKeys, count = std::min(kHalfBlockKeys, num_keys - first);
      write_keys(document_.dk, start + first, count, dk(half_block), shape_.softmax_scale, shape_.qk_size);
      write_keys(document_.dv, start + first, count, dv(half_block), 1.0f, shape_.v_size);
    }
  }

  /// From [size][64 keys] to the rows of the keys.
  void write_keys(const Heads<Bf16>& heads, int64_t key, int64_t num_keys, const float* sums, float factor,
                  int64_t size) const {
    Bf16* narrowed = memory_.narrowed.get<Bf16>(size * kHalfBlockKeys);
    tile_softmax_table().narrow_row(narrowed, sums, factor, size * kHalfBlockKeys);
    tile_packing_table().transpose(heads.row(key, walk_.group), heads.token_stride, narrowed, kHalfBlockKeys,
                                   num_keys, size);
  }

  void write_dq(const TilePlace& place, const float* sums) const {
    const auto narrow_row = tile_softmax_table().narrow_row;
    map_.for_each(place.first_row, place.num_rows, [&](int64_t i, int64_t query, int64_t head) {
      narrow_row(document_.dq.row(query, head), sums + i * dq_stride_, shape_.softmax_scale, shape_.qk_size);
    });
  }

  static BackwardMemory& memory() {
    static thread_local BackwardMemory memory;
    return memory;
  }

  const AttentionShape& shape_;
  const GradientDocument<Bf16>& document_;
  const Walk& walk_;
  const TileEngine& engine_;
  RowMap map_;
  int64_t num_rows_, qk_depth_, v_depth_, qk_rows_, v_rows_, dq_stride_;
  int64_t begin_, end_;                   ///< keys
  bool has_sums_[2 * kChunkBlocks] = {};  ///< of the half blocks of the chunk, in dk and dv
  BackwardMemory& memory_ = memory();
  float* scores_ = memory_.scores.get<float>(kTileRows * kBlockKeys);
  float* dp_ = memory_.dp.get<float>(kTileRows * kBlockKeys);
  Bf16* p_pairs_ = memory_.p_pairs.get<Bf16>(kTileRows * kBlockKeys);
  Bf16* ds_pairs_ = memory_.ds_pairs.get<Bf16>(kTileRows * kBlockKeys);
  Bf16* ds_ = memory_.ds.get<Bf16>(kTileRows * kBlockKeys);
};

// Longest walks first, so that the threads end together.
void run_walks(const AttentionShape& shape, const std::vector<GradientDocument<Bf16>>& documents,
               std::vector<Walk> walks, const TileEngine& engine) {
  std::stable_sort(walks.begin(), walks.end(), [](const Walk& a, const Walk& b) { return a.cost > b.cost; });
  core::parallel_for(static_cast<int64_t>(walks.size()), [&](int64_t i) {
    const Walk& walk = walks[static_cast<size_t>(i)];
    Walker(shape, documents[walk.document], walk, engine).run();
  });
}

}  // namespace

void run_in_tiles(const AttentionShape& shape, const std::vector<GradientDocument<Bf16>>& documents,
                  const TileEngine& engine) {
  std::vector<int64_t> lengths;
  for (const auto& document : documents) lengths.push_back(document.num_tokens);
  for (auto& walks : plan_walks(shape, lengths)) run_walks(shape, documents, std::move(walks), engine);
}

}  // namespace athanor::kernels::cpu
