// The cases that attention is tested on, in fp32 vectors and on tiles.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <ostream>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/concat.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include "kernels/ops.h"
#include "tests/kernels/tensor_testing.h"

namespace athanor::kernels::testing {

struct AttentionCase {
  const char* name;
  std::vector<int64_t> documents;
  int64_t num_heads, num_groups, qk_size, v_size;
  int64_t sliding_window = 0;

  std::vector<int64_t> offsets() const {
    std::vector<int64_t> result{0};
    for (int64_t length : documents) result.push_back(result.back() + length);
    return result;
  }
  int64_t num_tokens() const { return offsets().back(); }
  AttentionOptions options() const { return {1.0 / std::sqrt(static_cast<double>(qk_size)), sliding_window}; }
};

inline std::ostream& operator<<(std::ostream& out, const AttentionCase& c) {
  return out << c.name;
}

inline const std::vector<AttentionCase>& attention_cases() {
  static const std::vector<AttentionCase> all{
      {"one token", {1}, 1, 1, 1, 1},
      {"two tokens, odd sizes", {2}, 3, 1, 7, 5},
      {"one key block exactly", {64}, 2, 2, 16, 16},
      {"one more than a block", {65}, 2, 1, 16, 32},
      {"primes", {67, 131, 3}, 3, 3, 37, 23},
      {"documents of length 1", {1, 1, 1, 1, 1}, 2, 1, 8, 8},
      {"an empty document", {3, 0, 5}, 2, 1, 8, 8},
      {"latent heads", {150, 75}, 2, 2, 96, 64},
      {"released latent heads", {70}, 1, 1, 192, 128},
      {"three heads per group", {201}, 6, 2, 24, 24},
      {"many heads per group", {90}, 80, 1, 16, 16},
      {"several pieces", {600}, 1, 1, 32, 16},
      {"window of one", {100}, 2, 1, 16, 16, 1},
      {"window inside a block", {200, 33}, 2, 1, 16, 16, 17},
      {"window of a block", {300}, 1, 1, 16, 16, 64},
      {"window over blocks", {513}, 4, 2, 16, 16, 150},
      {"window wider than all", {70}, 1, 1, 16, 16, 1000},
  };
  return all;
}

struct AttentionInputs {
  at::Tensor q, k, v, d_o;
};

inline AttentionInputs inputs_of(const AttentionCase& c, at::ScalarType dtype) {
  return {normal("q", {c.num_tokens(), c.num_heads, c.qk_size}, dtype),
          normal("k", {c.num_tokens(), c.num_groups, c.qk_size}, dtype),
          normal("v", {c.num_tokens(), c.num_groups, c.v_size}, dtype),
          normal("do", {c.num_tokens(), c.num_heads, c.v_size}, dtype)};
}

struct AttentionOutputs {
  at::Tensor o, lse;
};

/// The cache holds more rows than are valid; what lies behind them must not matter.
inline at::Tensor cache_of(const at::Tensor& rows, int64_t length) {
  const at::Tensor cache = at::full({rows.size(0) + 3, rows.size(1), rows.size(2)},
                                    std::numeric_limits<double>::quiet_NaN(), rows.options());
  cache.narrow(0, 0, length).copy_(rows.narrow(0, 0, length));
  return cache;
}

/// Sequences of a document's rows that are decoded together, each with some new queries at its end.
struct DecodingBatch {
  std::vector<int64_t> num_new{1, 5, 0, 90}, length{33, 70, 12, 90};
  at::Tensor q;
  std::vector<at::Tensor> keys, values;

  explicit DecodingBatch(const AttentionInputs& in) {
    std::vector<at::Tensor> queries;
    for (size_t i = 0; i < length.size(); ++i) {
      queries.push_back(in.q.narrow(0, length[i] - num_new[i], num_new[i]));
      keys.push_back(cache_of(in.k, length[i]));
      values.push_back(cache_of(in.v, length[i]));
    }
    q = at::concat(queries, 0);
  }
  /// Every row of `o` has the bits that it has in the whole document.
  void expect_rows_of(const at::Tensor& whole, const at::Tensor& o) const {
    for (size_t i = 0, first = 0; i < length.size(); first += static_cast<size_t>(num_new[i++]))
      EXPECT_TRUE(same_bits(o.narrow(0, static_cast<int64_t>(first), num_new[i]),
                            whole.narrow(0, length[i] - num_new[i], num_new[i])))
          << "sequence " << i;
  }
};

/// The same values with strides between rows and heads.
inline at::Tensor strided(const at::Tensor& x) {
  const at::Tensor wide = at::full({x.size(0), x.size(1) + 1, x.size(2) + 5}, 3.0, x.options());
  const at::Tensor view = wide.narrow(1, 1, x.size(1)).narrow(2, 2, x.size(2));
  view.copy_(x);
  return view;
}

}  // namespace athanor::kernels::testing
