// The usual ways to cut work for core::parallel_for. Pieces depend on sizes alone.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/parallel_for.h"

namespace athanor::kernels::cpu {

/// The number of pieces of b that cover a.
constexpr int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// body(begin, length) for stretches of `stretch` elements of [0, count).
template <typename Body>
void for_each_stretch(int64_t count, int64_t stretch, Body body) {
  core::parallel_for(divide_up(count, stretch), [&](int64_t piece) {
    const int64_t begin = piece * stretch;
    body(begin, std::min(stretch, count - begin));
  });
}

/// body(row) for every row; a piece is as many rows as make up about 16 Ki elements.
template <typename Body>
void for_each_row(int64_t num_rows, int64_t row_size, Body body) {
  const int64_t rows_per_piece = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, row_size));
  for_each_stretch(num_rows, rows_per_piece, [&](int64_t begin, int64_t count) {
    for (int64_t row = begin; row < begin + count; ++row) body(row);
  });
}

}  // namespace athanor::kernels::cpu
