#include "kernels/cpu/tile_piece.h"

#include <algorithm>

#include "kernels/cpu/row_ops.h"
#include "kernels/cpu/scratch.h"

namespace athanor::kernels::cpu {
namespace {

constexpr int64_t kTransposedDepthMultiple = 64;

/// The steps that one call of the engine takes.
std::vector<DepthStep> depth_steps(const Product& product) {
  return cut_depth(product,
                   product.a.is_transposed ? kTransposedTileDepth : std::max<int64_t>(product.depth, 1));
}

struct Rows {
  int64_t begin, count, padded_count;

  bool are_whole() const { return count == padded_count; }
};

struct Left {
  const Bf16* data;
  int64_t stride;
};

/// Where a block of sums is: the output itself, or 64 columns of scratch that are rounded to it at the end.
struct BlockSums {
  float* data;
  int64_t stride;
  bool are_output;
};

void copy_rows(Bf16* to, const LeftOperand& a, const Rows& rows, const DepthStep& step) {
  const Bf16* from = static_cast<const Bf16*>(a.data) + rows.begin * a.stride + step.k;
  for (int64_t r = 0; r < rows.padded_count; ++r, to += step.padded_depth) {
    const int64_t depth = r < rows.count ? step.depth : 0;
    std::copy_n(from + r * a.stride, depth, to);
    std::fill_n(to + depth, step.padded_depth - depth, Bf16{});
  }
}

void copy_transposed(Bf16* to, const LeftOperand& a, const Rows& rows, const DepthStep& step) {
  const Bf16* from = static_cast<const Bf16*>(a.data) + step.k * a.stride + rows.begin;
  tile_packing_table().transpose(to, kTransposedTileDepth, from, a.stride, rows.count, step.depth);
  for (int64_t r = 0; r < rows.padded_count; ++r, to += kTransposedTileDepth) {
    const int64_t depth = r < rows.count ? step.depth : 0;
    std::fill_n(to + depth, step.padded_depth - depth, Bf16{});
  }
}

class PieceRunner {
 public:
  PieceRunner(const Product& product, const Piece& piece, const Bf16* packed, const TileEngine& engine)
      : product_(product), piece_(piece), packed_(packed), engine_(engine), steps_(depth_steps(product)) {}

  void run() {
    for (int64_t row = piece_.row_begin; row < piece_.row_end; row += kTileCallRows) {
      const int64_t count = std::min(kTileCallRows, piece_.row_end - row);
      const Rows rows{row, count, round_up(count, engine_.row_multiple)};
      steps_.empty() ? clear(rows) : multiply(rows);
    }
    engine_.release();
  }

 private:
  void multiply(const Rows& rows) {
    for (const DepthStep& step : steps_) {
      const bool is_first = step.k == 0, is_last = step.k + step.depth == product_.depth;
      const Left a = left(rows, step);
      for_each_block([&](int64_t column) {
        if (can_round(rows, column)) return multiply_rounded(rows, column, step, a);
        const BlockSums c = sums(rows, column);
        if (is_first) load(rows, column, c);
        engine_.multiply(rows.padded_count, step.padded_depth, a.data, a.stride, right(column, step), c.data,
                         c.stride, !is_first || product_.out.accumulate);
        if (is_last) finish(rows, column, c);
      });
    }
  }

  /// Whether the engine can write the output itself.
  bool can_round(const Rows& rows, int64_t column) const {
    return engine_.multiply_rounded && product_.out.is_bf16 && steps_.size() == 1 && rows.are_whole() &&
           width(column) == kTileColumns;
  }

  void multiply_rounded(const Rows& rows, int64_t column, const DepthStep& step, const Left& a) const {
    const float* bias = product_.out.bias ? product_.out.bias + column : nullptr;
    engine_.multiply_rounded(rows.count, step.padded_depth, a.data, a.stride, right(column, step), bias,
                             output<Bf16>(rows, column), product_.out.stride);
  }

  /// A product of no depth.
  void clear(const Rows& rows) {
    for_each_block([&](int64_t column) {
      const BlockSums c = sums(rows, column);
      load(rows, column, c);
      for (int64_t r = 0; r < rows.count && !product_.out.accumulate; ++r)
        std::fill_n(c.data + r * c.stride, width(column), 0.0f);
      finish(rows, column, c);
    });
  }

  template <typename Body>
  void for_each_block(Body body) const {
    for (int64_t column = piece_.column_begin; column < piece_.column_end; column += kTileColumns)
      body(column);
  }

  int64_t width(int64_t column) const { return std::min(kTileColumns, piece_.column_end - column); }

  template <typename Out>
  Out* output(const Rows& rows, int64_t column) const {
    return static_cast<Out*>(product_.out.data) + rows.begin * product_.out.stride + column;
  }

  /// A as the engine takes it: in place where it has no gaps to fill.
  Left left(const Rows& rows, const DepthStep& step) const {
    static thread_local Scratch scratch;
    const LeftOperand& a = product_.a;
    if (a.is_transposed) {
      Bf16* copy = scratch.get<Bf16>(kTileCallRows * kTransposedTileDepth);
      copy_transposed(copy, a, rows, step);
      return {copy, kTransposedTileDepth};
    }
    if (rows.are_whole() && step.depth == step.padded_depth)
      return {static_cast<const Bf16*>(a.data) + rows.begin * a.stride, a.stride};
    Bf16* copy = scratch.get<Bf16>(rows.padded_count * step.padded_depth);
    copy_rows(copy, a, rows, step);
    return {copy, step.padded_depth};
  }

  const Bf16* right(int64_t column, const DepthStep& step) const {
    static thread_local Scratch scratch;
    if (product_.b.layout == RightLayout::kTileBlocks)
      return static_cast<const Bf16*>(product_.b.data) + block_offset(product_, column);
    if (packed_) return packed_ + block_offset(product_, column) + step.k * kTileColumns;
    Bf16* packed = scratch.get<Bf16>(kTileColumns * step.padded_depth);
    pack_step(packed, product_.b, column, width(column), step);
    return packed;
  }

  BlockSums sums(const Rows& rows, int64_t column) const {
    static thread_local Scratch scratch;
    if (!product_.out.is_bf16 && rows.are_whole() && width(column) == kTileColumns)
      return {output<float>(rows, column), product_.out.stride, true};
    // With several steps, every block of columns keeps its sums from step to step.
    const int64_t num_columns =
        steps_.size() > 1 ? round_up(piece_.column_end - piece_.column_begin, kTileColumns) : kTileColumns;
    float* all = scratch.get<float>(kTileCallRows * num_columns);
    return {steps_.size() > 1 ? all + (column - piece_.column_begin) * kTileCallRows : all, kTileColumns,
            false};
  }

  /// The sums start from the output, where they are added to it and lie elsewhere.
  void load(const Rows& rows, int64_t column, const BlockSums& c) const {
    if (!product_.out.accumulate || c.are_output) return;
    std::fill_n(c.data, rows.padded_count * c.stride, 0.0f);
    const float* out = output<float>(rows, column);
    for (int64_t r = 0; r < rows.count; ++r)
      std::copy_n(out + r * product_.out.stride, width(column), c.data + r * c.stride);
  }

  void finish(const Rows& rows, int64_t column, const BlockSums& c) const {
    if (c.are_output && !product_.out.bias) return;
    product_.out.is_bf16 ? store<Bf16>(rows, column, c) : store<float>(rows, column, c);
  }

  template <typename Out>
  void store(const Rows& rows, int64_t column, const BlockSums& c) const {
    const float* bias = product_.out.bias ? product_.out.bias + column : nullptr;
    const auto finish_row = row_table<Out>().finish_row;
    Out* out = output<Out>(rows, column);
    for (int64_t r = 0; r < rows.count; ++r)
      finish_row(out + r * product_.out.stride, c.data + r * c.stride, bias, width(column));
  }

  const Product& product_;
  const Piece& piece_;
  const Bf16* packed_;
  const TileEngine& engine_;
  const std::vector<DepthStep> steps_;
};

}  // namespace

int64_t depth_multiple(const Product& product) {
  return product.a.is_transposed ? kTransposedDepthMultiple : 2;
}

std::vector<DepthStep> cut_depth(const Product& product, int64_t step) {
  std::vector<DepthStep> steps;
  for (int64_t k = 0; k < product.depth; k += step) {
    const int64_t depth = std::min(step, product.depth - k);
    steps.push_back({k, depth, round_up(depth, depth_multiple(product))});
  }
  return steps;
}

const Bf16* right_element(const RightOperand& b, int64_t column, int64_t k) {
  const bool columns = b.layout == RightLayout::kColumns;
  return static_cast<const Bf16*>(b.data) + (columns ? column * b.stride + k : k * b.stride + column);
}

void pack_step(Bf16* packed, const RightOperand& b, int64_t column, int64_t width, const DepthStep& step) {
  pack_tiles(packed, right_element(b, column, step.k), b.layout, b.stride, width, step.depth);
  const int64_t even_depth = round_up(step.depth, 2);
  std::fill_n(packed + kTileColumns * even_depth, kTileColumns * (step.padded_depth - even_depth), Bf16{});
}

int64_t block_offset(const Product& product, int64_t column) {
  return column * round_up(product.depth, depth_multiple(product));
}

void run_tile_piece(const Product& product, const Piece& piece, const Bf16* packed,
                    const TileEngine& engine) {
  PieceRunner(product, piece, packed, engine).run();
}

void run_tile_piece(const Product& product, const Piece& piece, const TileEngine& engine) {
  run_tile_piece(product, piece, nullptr, engine);
}

}  // namespace athanor::kernels::cpu
