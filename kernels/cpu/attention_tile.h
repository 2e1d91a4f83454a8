// The vector code of attention around its products: packing rows of keys and values, and the softmax of one
// tile of scores (some rows of queries against one block of keys). Single-threaded, best instruction set of
// this processor.
//
// What a query row gives depends on its own values only: sums run over lanes that belong to fixed key
// positions, and keys that a row does not see contribute an exact zero.
#pragma once

#include <cstdint>

#include "kernels/cpu/bf16.h"

namespace athanor::kernels::cpu {

constexpr int64_t kKeysPerBlock = 64;
constexpr int64_t kSumLanes = 16;

/// The keys [begin, end) of a block that one row sees; empty when begin >= end.
struct KeyRange {
  int64_t begin, end;
};

/// Scores of `num_rows` rows against the first `num_keys` keys of a block: scores[r * kKeysPerBlock + key].
struct ScoreTile {
  int64_t num_rows, num_keys;
  float* scores;            ///< in: bare inner products; out: probabilities (see the functions)
  const KeyRange* visible;  ///< [num_rows]
  float softmax_scale;
};

/// The softmax so far of some rows, over the key blocks already seen.
struct RunningSoftmax {
  float* largest;         ///< [rows], -infinity before the first key
  float* lane_sums;       ///< [rows][kSumLanes], zero before the first key
  float* outputs;         ///< [rows][output_stride], sum of probability * value, zero before the first key
  int64_t output_stride;  ///< a multiple of kSumLanes; whole rows are rescaled
};

struct ScoreTileTable {
  /// Turns scores into exp(scale * score - largest), after raising `largest` and rescaling sums and outputs
  /// for it.
  void (*softmax_forward)(const ScoreTile& tile, const RunningSoftmax& running);
  /// Turns scores into p = exp(scale * score - lse[r]) and dp (same layout) into p * (dp - delta[r]) * scale.
  void (*softmax_backward)(const ScoreTile& tile, float* dp, const float* lse, const float* delta);
};

/// T: float or Bf16.
template <typename T>
struct AttentionRowTable {
  /// out[0..size) = outputs / the sum of lane_sums; returns that sum.
  float (*finish_row)(T* out, const float* outputs, const float* lane_sums, int64_t size);
  /// Panels for gemm from rows[r * stride + i], widened; rows become the columns of the product, as with
  /// pack_nk.
  void (*pack_as_columns)(float* packed, const T* rows, int64_t stride, int64_t num_rows, int64_t size);
  /// The same; rows become the depth of the product, as with pack_kn.
  void (*pack_as_depth)(float* packed, const T* rows, int64_t stride, int64_t num_rows, int64_t size);
  void (*widen_row)(float* out, const T* row, int64_t size);
  void (*narrow_row)(T* out, const float* row, int64_t size);
  /// The inner product, in one fixed order.
  float (*dot)(const T* a, const T* b, int64_t size);
};

/// The tables of this processor.
const ScoreTileTable& score_tile_table();
template <typename T>
const AttentionRowTable<T>& attention_row_table();

namespace avx512 {
extern const ScoreTileTable kScoreTile;
extern const AttentionRowTable<float> kAttentionRowsF32;
extern const AttentionRowTable<Bf16> kAttentionRowsBf16;
}  // namespace avx512
namespace avx2 {
extern const ScoreTileTable kScoreTile;
extern const AttentionRowTable<float> kAttentionRowsF32;
extern const AttentionRowTable<Bf16> kAttentionRowsBf16;
}  // namespace avx2
namespace portable {
extern const ScoreTileTable kScoreTile;
extern const AttentionRowTable<float> kAttentionRowsF32;
extern const AttentionRowTable<Bf16> kAttentionRowsBf16;
}  // namespace portable

}  // namespace athanor::kernels::cpu
