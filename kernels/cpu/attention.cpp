// Attention, forward, in fp32 vectors (in tiles: tile_attention.cpp). The work is cut into pieces of
// (sequence, key/value head, some queries). A piece walks over its key blocks once, packing each block for
// the products and keeping the running softmax of all its rows.
#include "kernels/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/parallel_for.h"
#include "kernels/cpu/attention_heads.h"
#include "kernels/cpu/float_buffer.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/tile_attention.h"

namespace athanor::kernels::cpu {
namespace {

// Rows of a piece share the packing of a key block; more rows cost more working memory.
constexpr int64_t kQueryRowsPerPiece = 256;

struct HeadPiece {
  int64_t sequence, group, first_query, num_queries;
  int64_t cost;  ///< in rows times keys
};

template <typename T>
class VectorRunner {
 public:
  VectorRunner(const AttentionShape& shape, const Sequence<T>& sequence, const HeadPiece& piece)
      : shape_(shape),
        sequence_(sequence),
        group_(piece.group),
        num_rows_(piece.num_queries * shape.heads_per_group()),
        map_{shape.heads_per_group(), piece.group * shape.heads_per_group(), piece.first_query},
        output_stride_(padded_to_lanes(shape.v_size)),
        queries_(num_rows_ * shape.qk_size),
        outputs_(num_rows_ * output_stride_),
        largest_(num_rows_),
        lane_sums_(num_rows_ * kSumLanes),
        scores_(kRowsPerTile * kKeysPerBlock),
        packed_keys_(packed_size(kKeysPerBlock, shape.qk_size)),
        packed_values_(packed_size(shape.v_size, kKeysPerBlock)) {}

  void run() {
    start();
    const int64_t end = position(num_rows_ - 1) + 1;
    for (int64_t start = block_start(shape_.visibility.first_key(position(0))); start < end;
         start += kKeysPerBlock)
      take_block(start, std::min(kKeysPerBlock, end - start));
    finish();
  }

 private:
  int64_t position(int64_t row) const { return sequence_.num_keys - sequence_.num_queries + map_.query(row); }

  void start() {
    for (int64_t r = 0; r < num_rows_; ++r)
      rows_.widen_row(queries_.data() + r * shape_.qk_size, sequence_.q.row(map_.query(r), map_.head(r)),
                      shape_.qk_size);
    std::fill_n(outputs_.data(), num_rows_ * output_stride_, 0.0f);
    std::fill_n(largest_.data(), num_rows_, -std::numeric_limits<float>::infinity());
    std::fill_n(lane_sums_.data(), num_rows_ * kSumLanes, 0.0f);
  }

  void take_block(int64_t start, int64_t num_keys) {
    rows_.pack_as_columns(packed_keys_.data(), sequence_.k.row(start, group_), sequence_.k.token_stride,
                          num_keys, shape_.qk_size);
    rows_.pack_as_depth(packed_values_.data(), sequence_.v.row(start, group_), sequence_.v.token_stride,
                        num_keys, shape_.v_size);
    for (int64_t first = 0; first < num_rows_; first += kRowsPerTile)
      take_tile(first, std::min(kRowsPerTile, num_rows_ - first), start, num_keys);
  }

  void take_tile(int64_t first, int64_t num_rows, int64_t start, int64_t packed_num_keys) {
    const int64_t num_keys = std::min(packed_num_keys, position(first + num_rows - 1) + 1 - start);
    if (num_keys <= 0 || shape_.visibility.first_key(position(first)) >= start + kKeysPerBlock) return;
    KeyRange visible[kRowsPerTile];
    for (int64_t r = 0; r < num_rows; ++r)
      visible[r] = shape_.visibility.in_block(position(first + r), start);

    gemm(GemmArgs<float, float>{.num_rows = num_rows,
                                .num_columns = padded_to_lanes(num_keys),
                                .depth = shape_.qk_size,
                                .a = queries_.data() + first * shape_.qk_size,
                                .a_stride = shape_.qk_size,
                                .packed_b = packed_keys_.data(),
                                .c = scores_.data(),
                                .c_stride = kKeysPerBlock});
    float* outputs = outputs_.data() + first * output_stride_;
    score_tile_table().softmax_forward(
        {num_rows, num_keys, scores_.data(), visible, shape_.softmax_scale},
        {largest_.data() + first, lane_sums_.data() + first * kSumLanes, outputs, output_stride_});
    gemm(GemmArgs<float, float>{.num_rows = num_rows,
                                .num_columns = output_stride_,
                                .depth = num_keys,
                                .a = scores_.data(),
                                .a_stride = kKeysPerBlock,
                                .packed_b = packed_values_.data(),
                                .panel_depth = packed_num_keys,
                                .c = outputs,
                                .c_stride = output_stride_,
                                .accumulate = true});
  }

  void finish() {
    for (int64_t r = 0; r < num_rows_; ++r) {
      const float sum =
          rows_.finish_row(sequence_.o.row(map_.query(r), map_.head(r)), outputs_.data() + r * output_stride_,
                           lane_sums_.data() + r * kSumLanes, shape_.v_size);
      if (sequence_.lse)
        sequence_.lse[map_.query(r) * shape_.num_heads + map_.head(r)] = largest_.data()[r] + std::log(sum);
    }
  }

  const AttentionShape& shape_;
  const Sequence<T>& sequence_;
  const AttentionRowTable<T>& rows_ = attention_row_table<T>();
  int64_t group_, num_rows_;
  RowMap map_;
  int64_t output_stride_;
  FloatBuffer queries_, outputs_, largest_, lane_sums_, scores_, packed_keys_, packed_values_;
};

// Longest pieces first, so that the threads end together.
template <typename T>
std::vector<HeadPiece> cut_into_pieces(const AttentionShape& shape,
                                       const std::vector<Sequence<T>>& sequences) {
  const int64_t queries_per_piece = std::max<int64_t>(1, kQueryRowsPerPiece / shape.heads_per_group());
  std::vector<HeadPiece> pieces;
  for (size_t s = 0; s < sequences.size(); ++s)
    for (int64_t first = 0; first < sequences[s].num_queries; first += queries_per_piece) {
      const int64_t num_queries = std::min(queries_per_piece, sequences[s].num_queries - first);
      const int64_t last_key = sequences[s].num_keys - sequences[s].num_queries + first + num_queries;
      for (int64_t group = 0; group < shape.num_groups; ++group)
        pieces.push_back({static_cast<int64_t>(s), group, first, num_queries,
                          num_queries * (last_key - shape.visibility.first_key(last_key - num_queries))});
    }
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const HeadPiece& a, const HeadPiece& b) { return a.cost > b.cost; });
  return pieces;
}

template <typename T>
void run_in_vectors(const AttentionShape& shape, const std::vector<Sequence<T>>& sequences) {
  const std::vector<HeadPiece> pieces = cut_into_pieces(shape, sequences);
  core::parallel_for(static_cast<int64_t>(pieces.size()), [&](int64_t i) {
    const HeadPiece& piece = pieces[static_cast<size_t>(i)];
    VectorRunner<T>(shape, sequences[static_cast<size_t>(piece.sequence)], piece).run();
  });
}

void run(const AttentionShape& shape, const std::vector<Sequence<float>>& sequences, const TileEngine*) {
  run_in_vectors(shape, sequences);
}
void run(const AttentionShape& shape, const std::vector<Sequence<Bf16>>& sequences,
         const TileEngine* engine) {
  engine ? run_in_tiles(shape, sequences, *engine) : run_in_vectors(shape, sequences);
}

AttentionShape shape_of(const at::Tensor& q_THQ, const at::Tensor& k_TGQ, const at::Tensor& v_TGW,
                        const AttentionOptions& options) {
  return {q_THQ.size(1),
          k_TGQ.size(1),
          q_THQ.size(2),
          v_TGW.size(2),
          static_cast<float>(options.softmax_scale),
          {options.sliding_window}};
}

template <typename T>
void attention_as(const at::Tensor& o_THW, const at::Tensor& lse_TH, const at::Tensor& q_THQ,
                  const at::Tensor& k_TGQ, const at::Tensor& v_TGW,
                  const std::vector<int64_t>& document_offsets, const AttentionOptions& options,
                  const TileEngine* engine) {
  std::vector<Sequence<T>> documents;
  for (size_t i = 0; i + 1 < document_offsets.size(); ++i) {
    const int64_t begin = document_offsets[i], num_tokens = document_offsets[i + 1] - begin;
    documents.push_back({const_heads_of<T>(q_THQ).from_token(begin),
                         const_heads_of<T>(k_TGQ).from_token(begin),
                         const_heads_of<T>(v_TGW).from_token(begin), heads_of<T>(o_THW).from_token(begin),
                         lse_TH.data_ptr<float>() + begin * lse_TH.size(1), num_tokens, num_tokens});
  }
  run(shape_of(q_THQ, k_TGQ, v_TGW, options), documents, engine);
}

template <typename T>
void attention_with_cache_as(const at::Tensor& o_THW, const at::Tensor& q_THQ,
                             const std::vector<at::Tensor>& k_cache, const std::vector<at::Tensor>& v_cache,
                             const std::vector<int64_t>& num_new, const std::vector<int64_t>& length,
                             const AttentionOptions& options, const TileEngine* engine) {
  std::vector<Sequence<T>> sequences;
  int64_t first = 0;
  for (size_t i = 0; i < num_new.size(); first += num_new[i++])
    sequences.push_back({const_heads_of<T>(q_THQ).from_token(first), const_heads_of<T>(k_cache[i]),
                         const_heads_of<T>(v_cache[i]), heads_of<T>(o_THW).from_token(first), nullptr,
                         num_new[i], length[i]});
  run(shape_of(q_THQ, k_cache[0], v_cache[0], options), sequences, engine);
}

}  // namespace

void attention(const at::Tensor& o_THW, const at::Tensor& lse_TH, const at::Tensor& q_THQ,
               const at::Tensor& k_TGQ, const at::Tensor& v_TGW, const std::vector<int64_t>& document_offsets,
               const AttentionOptions& options, const TileEngine* engine) {
  const auto run_as = q_THQ.scalar_type() == at::kFloat ? attention_as<float> : attention_as<Bf16>;
  run_as(o_THW, lse_TH, q_THQ, k_TGQ, v_TGW, document_offsets, options, engine);
}

void attention_with_cache(const at::Tensor& o_THW, const at::Tensor& q_THQ,
                          const std::vector<at::Tensor>& k_cache, const std::vector<at::Tensor>& v_cache,
                          const std::vector<int64_t>& num_new, const std::vector<int64_t>& length,
                          const AttentionOptions& options, const TileEngine* engine) {
  if (num_new.empty()) return;
  const auto run_as =
      q_THQ.scalar_type() == at::kFloat ? attention_with_cache_as<float> : attention_with_cache_as<Bf16>;
  run_as(o_THW, q_THQ, k_cache, v_cache, num_new, length, options, engine);
}

}  // namespace athanor::kernels::cpu
