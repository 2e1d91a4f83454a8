// Attention, backward, in fp32 vectors (in tiles: tile_attention_backward.cpp). Probabilities are computed
// again from the saved log-sum-exp; for a tile of query rows and a block of keys five products follow:
//   s = q kᵀ,  dp = do vᵀ,  then with p = exp(scale s - lse) and ds = p (dp - delta) scale:
//   dv += pᵀ do,  dk += dsᵀ q,  dq += ds k.
// dk and dv sum over query rows in ascending order, dq over keys in ascending order. So the work may be cut
// in two ways that give the same bits: one piece per (document, key/value head) that does all five products,
// or, when there are too few of those for the threads, a pass over key blocks for dk and dv and a pass over
// query tiles for dq.
#include <algorithm>
#include <vector>

#include "core/parallel_for.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/attention_heads.h"
#include "kernels/cpu/float_buffer.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/tile_attention.h"

namespace athanor::kernels::cpu {
namespace {

constexpr int64_t kPiecesPerThread = 4;
constexpr int64_t kDeltaRowsPerPiece = 256;

struct Shape : AttentionShape {
  int64_t qk_stride() const { return padded_to_lanes(qk_size); }
  int64_t v_stride() const { return padded_to_lanes(v_size); }
};

/// One block of keys and values, packed for the three products that take it on the right.
template <typename T>
class KeyBlock {
 public:
  explicit KeyBlock(const Shape& shape)
      : shape_(shape),
        keys_as_columns(packed_size(kKeysPerBlock, shape.qk_size)),
        keys_as_depth(packed_size(shape.qk_size, kKeysPerBlock)),
        values_as_columns(packed_size(kKeysPerBlock, shape.v_size)) {}

  void load(const GradientDocument<T>& document, int64_t group, int64_t first_key) {
    start = first_key;
    num_keys = std::min(kKeysPerBlock, document.num_tokens - start);
    const auto& rows = attention_row_table<T>();
    const T* k = document.k.row(start, group);
    rows.pack_as_columns(keys_as_columns.data(), k, document.k.token_stride, num_keys, shape_.qk_size);
    rows.pack_as_depth(keys_as_depth.data(), k, document.k.token_stride, num_keys, shape_.qk_size);
    rows.pack_as_columns(values_as_columns.data(), document.v.row(start, group), document.v.token_stride,
                         num_keys, shape_.v_size);
  }

 private:
  const Shape& shape_;

 public:
  int64_t start = 0, num_keys = 0;
  FloatBuffer keys_as_columns, keys_as_depth, values_as_columns;
};

/// Some query rows with all that belongs to them, widened; and packed for the products with them on the
/// right.
template <typename T>
class QueryTile {
 public:
  explicit QueryTile(const Shape& shape)
      : shape_(shape),
        q(kRowsPerTile * shape.qk_size),
        d_o(kRowsPerTile * shape.v_size),
        q_as_depth(packed_size(shape.qk_size, kRowsPerTile)),
        d_o_as_depth(packed_size(shape.v_size, kRowsPerTile)) {}

  void load(const GradientDocument<T>& document, const RowMap& map, int64_t first) {
    num_rows = std::min(kRowsPerTile, document.num_tokens * map.heads_per_group - first);
    const auto& rows = attention_row_table<T>();
    for (int64_t r = 0; r < num_rows; ++r) {
      const int64_t token = map.query(first + r), head = map.head(first + r);
      position[r] = token;
      lse[r] = document.lse[token * shape_.num_heads + head];
      delta[r] = document.delta[token * shape_.num_heads + head];
      rows.widen_row(q.data() + r * shape_.qk_size, document.q.row(token, head), shape_.qk_size);
      rows.widen_row(d_o.data() + r * shape_.v_size, document.d_o.row(token, head), shape_.v_size);
    }
  }
  void pack() {
    const auto& rows = attention_row_table<float>();
    rows.pack_as_depth(q_as_depth.data(), q.data(), shape_.qk_size, num_rows, shape_.qk_size);
    rows.pack_as_depth(d_o_as_depth.data(), d_o.data(), shape_.v_size, num_rows, shape_.v_size);
  }

 private:
  const Shape& shape_;

 public:
  int64_t num_rows = 0;
  int64_t position[kRowsPerTile];
  float lse[kRowsPerTile], delta[kRowsPerTile];
  FloatBuffer q, d_o, q_as_depth, d_o_as_depth;
};

/// The gradients of one (document, key/value head), in whole or in part.
template <typename T>
class HeadGradients {
 public:
  HeadGradients(const Shape& shape, const GradientDocument<T>& document, int64_t group)
      : shape_(shape),
        document_(document),
        group_(group),
        map_{shape.heads_per_group(), group * shape.heads_per_group(), 0},
        num_rows_(document.num_tokens * map_.heads_per_group),
        keys_(shape),
        tile_(shape),
        p_(kRowsPerTile * kKeysPerBlock),
        ds_(kRowsPerTile * kKeysPerBlock),
        dk_(kKeysPerBlock * shape.qk_stride()),
        dv_(kKeysPerBlock * shape.v_stride()) {}

  void all() {
    const FloatBuffer dq(num_rows_ * shape_.qk_stride());
    std::fill_n(dq.data(), num_rows_ * shape_.qk_stride(), 0.0f);
    for (int64_t start = 0; start < document_.num_tokens; start += kKeysPerBlock)
      keys_and_values(start, dq.data());
    write_dq(dq.data(), 0, num_rows_);
  }

  /// dk and dv of one key block; adds to dq of all rows when it is not null.
  void keys_and_values(int64_t start, float* dq) {
    std::fill_n(dk_.data(), kKeysPerBlock * shape_.qk_stride(), 0.0f);
    std::fill_n(dv_.data(), kKeysPerBlock * shape_.v_stride(), 0.0f);
    keys_.load(document_, group_, start);
    const int64_t first_row = start * map_.heads_per_group / kRowsPerTile * kRowsPerTile;
    for (int64_t first = first_row; first < num_rows_ && sees(first, start); first += kRowsPerTile) {
      tile_.load(document_, map_, first);
      tile_.pack();
      const int64_t num_keys = probabilities();
      add_dv(num_keys);
      add_dk(num_keys);
      if (dq) add_dq(dq + first * shape_.qk_stride(), num_keys);
    }
    for (int64_t key = 0; key < keys_.num_keys; ++key) write_key(key);
  }

  /// dq of one tile of rows.
  void queries(int64_t first) {
    const FloatBuffer dq(kRowsPerTile * shape_.qk_stride());
    std::fill_n(dq.data(), kRowsPerTile * shape_.qk_stride(), 0.0f);
    tile_.load(document_, map_, first);
    const int64_t last_position = tile_.position[tile_.num_rows - 1];
    const int64_t first_block = block_start(shape_.visibility.first_key(tile_.position[0]));
    for (int64_t start = first_block; start <= last_position; start += kKeysPerBlock) {
      keys_.load(document_, group_, start);
      add_dq(dq.data(), probabilities());
    }
    write_dq(dq.data(), first, tile_.num_rows);
  }

 private:
  // Whether the tile still reaches back to the block; later tiles see even less of it.
  bool sees(int64_t first_row, int64_t start) const {
    return shape_.visibility.first_key(map_.query(first_row)) < start + kKeysPerBlock;
  }

  /// Fills p_ and ds_ for the tile and block at hand; returns how many keys of the block are seen at all.
  int64_t probabilities() {
    const int64_t last_position = tile_.position[tile_.num_rows - 1];
    const int64_t num_keys = std::min(keys_.num_keys, last_position + 1 - keys_.start);
    multiply_by_columns(tile_.q, shape_.qk_size, keys_.keys_as_columns, num_keys, p_);
    multiply_by_columns(tile_.d_o, shape_.v_size, keys_.values_as_columns, num_keys, ds_);
    KeyRange visible[kRowsPerTile];
    for (int64_t r = 0; r < tile_.num_rows; ++r)
      visible[r] = shape_.visibility.in_block(tile_.position[r], keys_.start);
    score_tile_table().softmax_backward({tile_.num_rows, num_keys, p_.data(), visible, shape_.softmax_scale},
                                        ds_.data(), tile_.lse, tile_.delta);
    return num_keys;
  }

  void multiply_by_columns(const FloatBuffer& rows, int64_t depth, const FloatBuffer& columns,
                           int64_t num_keys, const FloatBuffer& out) const {
    gemm(GemmArgs<float, float>{.num_rows = tile_.num_rows,
                                .num_columns = padded_to_lanes(num_keys),
                                .depth = depth,
                                .a = rows.data(),
                                .a_stride = depth,
                                .packed_b = columns.data(),
                                .c = out.data(),
                                .c_stride = kKeysPerBlock});
  }

  void add_dv(int64_t num_keys) { add_to_keys(dv_, shape_.v_stride(), p_, tile_.d_o_as_depth, num_keys); }
  void add_dk(int64_t num_keys) { add_to_keys(dk_, shape_.qk_stride(), ds_, tile_.q_as_depth, num_keys); }

  /// sums[key] += sum over the tile's rows of by_key[row][key] * rows[row].
  void add_to_keys(const FloatBuffer& sums, int64_t stride, const FloatBuffer& by_key,
                   const FloatBuffer& rows, int64_t num_keys) const {
    gemm(GemmArgs<float, float>{.num_rows = num_keys,
                                .num_columns = stride,
                                .depth = tile_.num_rows,
                                .a = by_key.data(),
                                .a_stride = kKeysPerBlock,
                                .a_is_transposed = true,
                                .packed_b = rows.data(),
                                .c = sums.data(),
                                .c_stride = stride,
                                .accumulate = true});
  }

  void add_dq(float* dq, int64_t num_keys) const {
    gemm(GemmArgs<float, float>{.num_rows = tile_.num_rows,
                                .num_columns = shape_.qk_stride(),
                                .depth = num_keys,
                                .a = ds_.data(),
                                .a_stride = kKeysPerBlock,
                                .packed_b = keys_.keys_as_depth.data(),
                                .panel_depth = keys_.num_keys,
                                .c = dq,
                                .c_stride = shape_.qk_stride(),
                                .accumulate = true});
  }

  void write_key(int64_t key) const {
    rows_.narrow_row(document_.dk.row(keys_.start + key, group_), dk_.data() + key * shape_.qk_stride(),
                     shape_.qk_size);
    rows_.narrow_row(document_.dv.row(keys_.start + key, group_), dv_.data() + key * shape_.v_stride(),
                     shape_.v_size);
  }

  void write_dq(const float* dq, int64_t first, int64_t num_rows) const {
    for (int64_t r = 0; r < num_rows; ++r)
      rows_.narrow_row(document_.dq.row(map_.query(first + r), map_.head(first + r)),
                       dq + r * shape_.qk_stride(), shape_.qk_size);
  }

  const Shape& shape_;
  const GradientDocument<T>& document_;
  const AttentionRowTable<T>& rows_ = attention_row_table<T>();
  int64_t group_;
  RowMap map_;
  int64_t num_rows_;
  KeyBlock<T> keys_;
  QueryTile<T> tile_;
  FloatBuffer p_, ds_, dk_, dv_;
};

/// delta[t, h] = do · o.
template <typename T>
void compute_delta(const FloatBuffer& delta, const AttentionBackwardArgs& args) {
  const int64_t num_heads = args.q_THQ.size(1), v_size = args.o_THW.size(2),
                count = args.q_THQ.size(0) * num_heads;
  const auto d_o = const_heads_of<T>(args.do_THW), o = const_heads_of<T>(args.o_THW);
  core::parallel_for((count + kDeltaRowsPerPiece - 1) / kDeltaRowsPerPiece, [&](int64_t piece) {
    const int64_t end = std::min(count, (piece + 1) * kDeltaRowsPerPiece);
    for (int64_t i = piece * kDeltaRowsPerPiece; i < end; ++i)
      delta.data()[i] = attention_row_table<T>().dot(d_o.row(i / num_heads, i % num_heads),
                                                     o.row(i / num_heads, i % num_heads), v_size);
  });
}

template <typename T>
std::vector<GradientDocument<T>> documents_of(const AttentionBackwardArgs& args, const float* delta) {
  const int64_t num_heads = args.q_THQ.size(1);
  std::vector<GradientDocument<T>> documents;
  for (size_t i = 0; i + 1 < args.document_offsets.size(); ++i) {
    const int64_t begin = args.document_offsets[i];
    documents.push_back(
        {const_heads_of<T>(args.q_THQ).from_token(begin), const_heads_of<T>(args.k_TGQ).from_token(begin),
         const_heads_of<T>(args.v_TGW).from_token(begin), const_heads_of<T>(args.do_THW).from_token(begin),
         heads_of<T>(args.dq_THQ).from_token(begin), heads_of<T>(args.dk_TGQ).from_token(begin),
         heads_of<T>(args.dv_TGW).from_token(begin), args.lse_TH.const_data_ptr<float>() + begin * num_heads,
         delta + begin * num_heads, args.document_offsets[i + 1] - begin});
  }
  return documents;
}

/// A piece of work: a unit (key block, query tile; 0 for everything) of one key/value head of one document.
struct GradientPiece {
  size_t document;
  int64_t group, unit, cost;
};

/// All pieces when a document of n tokens has num_units(n) units per head; the costliest first.
template <typename T, typename Units, typename Cost>
std::vector<GradientPiece> cut(const std::vector<GradientDocument<T>>& documents, int64_t num_groups,
                               const Units& num_units, const Cost& cost) {
  std::vector<GradientPiece> pieces;
  for (size_t d = 0; d < documents.size(); ++d)
    for (int64_t unit = 0; unit < num_units(documents[d].num_tokens); ++unit)
      for (int64_t group = 0; group < num_groups; ++group)
        pieces.push_back({d, group, unit, cost(documents[d].num_tokens, unit)});
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const GradientPiece& a, const GradientPiece& b) { return a.cost > b.cost; });
  return pieces;
}

template <typename T, typename Body>
void run(const Shape& shape, const std::vector<GradientDocument<T>>& documents,
         const std::vector<GradientPiece>& pieces, const Body& body) {
  core::parallel_for(static_cast<int64_t>(pieces.size()), [&](int64_t i) {
    const GradientPiece& piece = pieces[static_cast<size_t>(i)];
    HeadGradients<T> gradients(shape, documents[piece.document], piece.group);
    body(gradients, piece.unit);
  });
}

template <typename T>
void run_by_heads(const Shape& shape, const std::vector<GradientDocument<T>>& documents) {
  const auto pieces = cut(
      documents, shape.num_groups, [](int64_t n) { return n > 0 ? 1 : 0; },
      [](int64_t n, int64_t) { return n * n; });
  run(shape, documents, pieces, [](HeadGradients<T>& gradients, int64_t) { gradients.all(); });
}

template <typename T>
void run_by_blocks(const Shape& shape, const std::vector<GradientDocument<T>>& documents) {
  const auto num_blocks = [](int64_t n) { return (n + kKeysPerBlock - 1) / kKeysPerBlock; };
  const auto key_pieces = cut(documents, shape.num_groups, num_blocks,
                              [](int64_t n, int64_t block) { return n - block * kKeysPerBlock; });
  run(shape, documents, key_pieces, [](HeadGradients<T>& gradients, int64_t block) {
    gradients.keys_and_values(block * kKeysPerBlock, nullptr);
  });
  const int64_t heads_per_group = shape.heads_per_group();
  const auto num_tiles = [&](int64_t n) { return (n * heads_per_group + kRowsPerTile - 1) / kRowsPerTile; };
  const auto query_pieces =
      cut(documents, shape.num_groups, num_tiles, [](int64_t, int64_t tile) { return tile; });
  run(shape, documents, query_pieces,
      [](HeadGradients<T>& gradients, int64_t tile) { gradients.queries(tile * kRowsPerTile); });
}

template <typename T>
bool heads_suffice(const Shape& shape, const std::vector<GradientDocument<T>>& documents) {
  const int threads = core::num_threads();
  int64_t longest = 0;
  for (const auto& document : documents) longest = std::max(longest, document.num_tokens);
  const auto num_pieces = static_cast<int64_t>(documents.size()) * shape.num_groups;
  return (threads == 1 || num_pieces >= kPiecesPerThread * threads) &&
         longest * shape.heads_per_group() * shape.qk_stride() <= kMaxQueryGradientFloats;
}

template <typename T>
void run_in_vectors(const AttentionShape& attention_shape,
                    const std::vector<GradientDocument<T>>& documents) {
  const Shape shape{attention_shape};
  if (heads_suffice(shape, documents))
    run_by_heads(shape, documents);
  else
    run_by_blocks(shape, documents);
}

void run_all(const AttentionShape& shape, const std::vector<GradientDocument<float>>& documents,
             const TileEngine*) {
  run_in_vectors(shape, documents);
}
void run_all(const AttentionShape& shape, const std::vector<GradientDocument<Bf16>>& documents,
             const TileEngine* engine) {
  engine ? run_in_tiles(shape, documents, *engine) : run_in_vectors(shape, documents);
}

template <typename T>
void attention_backward_as(const AttentionBackwardArgs& args, const TileEngine* engine) {
  const AttentionShape shape{args.q_THQ.size(1),
                             args.k_TGQ.size(1),
                             args.q_THQ.size(2),
                             args.v_TGW.size(2),
                             static_cast<float>(args.options.softmax_scale),
                             {args.options.sliding_window}};
  const FloatBuffer delta(args.q_THQ.size(0) * shape.num_heads);
  compute_delta<T>(delta, args);
  run_all(shape, documents_of<T>(args, delta.data()), engine);
}

}  // namespace

void attention_backward(const AttentionBackwardArgs& args, const TileEngine* engine) {
  const auto run_as =
      args.q_THQ.scalar_type() == at::kFloat ? attention_backward_as<float> : attention_backward_as<Bf16>;
  run_as(args, engine);
}

}  // namespace athanor::kernels::cpu
