// What all kinds of attention share, forward and backward, in fp32 vectors and in tiles: strided heads, the
// sequences of a call, and who sees which keys.
#pragma once

#include <algorithm>
#include <cstdint>

#include <ATen/core/Tensor.h>

#include "kernels/cpu/attention_tile.h"

namespace athanor::kernels::cpu {

/// A [tokens, heads, size] tensor whose last dimension is contiguous.
template <typename T>
struct Heads {
  T* data;
  int64_t token_stride, head_stride;

  T* row(int64_t token, int64_t head) const { return data + token * token_stride + head * head_stride; }
  Heads from_token(int64_t token) const { return {row(token, 0), token_stride, head_stride}; }
};

template <typename T>
Heads<T> heads_of(const at::Tensor& tensor) {
  return {static_cast<T*>(tensor.data_ptr()), tensor.stride(0), tensor.stride(1)};
}
template <typename T>
Heads<const T> const_heads_of(const at::Tensor& tensor) {
  return {static_cast<const T*>(tensor.const_data_ptr()), tensor.stride(0), tensor.stride(1)};
}

/// Causal visibility inside one sequence, in positions counted from its start.
struct Visibility {
  int64_t sliding_window;  ///< 0: none

  int64_t first_key(int64_t position) const {
    return sliding_window > 0 ? std::max<int64_t>(0, position - sliding_window + 1) : 0;
  }
  /// The keys that `position` sees, counted from `block_start`.
  KeyRange in_block(int64_t position, int64_t block_start) const {
    return {first_key(position) - block_start, position + 1 - block_start};
  }
};

struct AttentionShape {
  int64_t num_heads, num_groups, qk_size, v_size;
  float softmax_scale;
  Visibility visibility;

  int64_t heads_per_group() const { return num_heads / num_groups; }
};

/// Rows of queries that meet a block of keys at a time, in fp32 vectors.
constexpr int64_t kRowsPerTile = 64;
/// Backward, a pass over a whole head keeps the gradients of all its queries in fp32 until it ends.
constexpr int64_t kMaxQueryGradientFloats = int64_t{8} << 20;

/// One document, or one sequence with its cache: query i stands at position num_keys - num_queries + i.
template <typename T>
struct Sequence {
  Heads<const T> q, k, v;
  Heads<T> o;
  float* lse;  ///< of the first query, [num_queries][num_heads], or null: not wanted
  int64_t num_queries, num_keys;
};

/// One document and its gradients.
template <typename T>
struct GradientDocument {
  Heads<const T> q, k, v, d_o;
  Heads<T> dq, dk, dv;
  const float *lse, *delta;  ///< of the first token, [num_tokens][num_heads]; delta = do · o
  int64_t num_tokens;
};

/// Query rows that share a key/value head: row r is head r % heads_per_group of the group and query r /
/// heads_per_group.
struct RowMap {
  int64_t heads_per_group, first_head, first_query;

  int64_t query(int64_t row) const { return first_query + row / heads_per_group; }
  int64_t head(int64_t row) const { return first_head + row % heads_per_group; }

  /// body(i, query, head) for the rows first_row + i, i < num_rows.
  template <typename Body>
  void for_each(int64_t first_row, int64_t num_rows, const Body& body) const {
    int64_t token = query(first_row), place = first_row % heads_per_group;
    for (int64_t i = 0; i < num_rows; ++i) {
      body(i, token, first_head + place);
      if (++place < heads_per_group) continue;
      place = 0;
      ++token;
    }
  }
};

constexpr int64_t padded_to_lanes(int64_t count) {
  return (count + kSumLanes - 1) / kSumLanes * kSumLanes;
}
constexpr int64_t block_start(int64_t key) {
  return key / kKeysPerBlock * kKeysPerBlock;
}

}  // namespace athanor::kernels::cpu
