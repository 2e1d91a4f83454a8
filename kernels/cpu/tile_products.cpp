// A list of products becomes batches whose right operands fit the packing buffer together; a batch is packed
// on all threads, then multiplied on all threads, piece by piece.
#include "kernels/cpu/tile_products.h"

#include <algorithm>

#include "core/parallel_for.h"
#include "kernels/cpu/row_ops.h"
#include "kernels/cpu/scratch.h"

namespace athanor::kernels::cpu {
namespace {

constexpr int64_t kCallRows = 128, kRowMultiple = 16;
// Weight gradients: the transposed copy of A (128 x 512) stays in the second-level cache for many columns.
constexpr int64_t kPieceRows = 256, kPieceColumns = 256;
constexpr int64_t kTransposedPieceRows = kCallRows, kTransposedPieceColumns = 1024;
constexpr int64_t kTransposedDepth = 512, kTransposedDepthMultiple = 64;
constexpr int64_t kPackingDepth = 512;

int64_t round_up(int64_t a, int64_t multiple) {
  return (a + multiple - 1) / multiple * multiple;
}

int64_t round_down(int64_t a, int64_t multiple) {
  return a / multiple * multiple;
}

// ---- depth
// ---------------------------------------------------------------------------------------------------

/// A step of depth: [k, k + depth), of which padded_depth is computed (the rest are zeros).
struct DepthStep {
  int64_t k, depth, padded_depth;
};

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

/// The steps that one call of the engine takes.
std::vector<DepthStep> depth_steps(const Product& product) {
  return cut_depth(product, product.a.is_transposed ? kTransposedDepth : std::max<int64_t>(product.depth, 1));
}

// ---- the right operand
// ---------------------------------------------------------------------------------------

void pack_block(Bf16* packed, const Bf16* b, RightLayout layout, int64_t stride, int64_t width,
                int64_t depth) {
  const TilePackingTable& table = tile_packing_table();
  (layout == RightLayout::kColumns ? table.pack_columns : table.pack_rows)(packed, b, stride, width, depth);
}

/// The address of b[k, column] of a plain operand.
const Bf16* right_element(const RightOperand& b, int64_t column, int64_t k) {
  const bool columns = b.layout == RightLayout::kColumns;
  return static_cast<const Bf16*>(b.data) + (columns ? column * b.stride + k : k * b.stride + column);
}

/// Up to 64 columns of B for one step of depth, padded_depth deep.
void pack_step(Bf16* packed, const RightOperand& b, int64_t column, int64_t width, const DepthStep& step) {
  pack_block(packed, right_element(b, column, step.k), b.layout, b.stride, width, step.depth);
  const int64_t even_depth = round_up(step.depth, 2);
  std::fill_n(packed + kTileColumns * even_depth, kTileColumns * (step.padded_depth - even_depth), Bf16{});
}

/// Where the packed block of 64 columns starts: all its steps lie one after the other.
int64_t block_offset(const Product& product, int64_t column) {
  return column * round_up(product.depth, depth_multiple(product));
}

int64_t packed_elements(const Product& product) {
  return block_offset(product, round_up(product.num_columns, kTileColumns));
}

/// With one row block there is nobody to share with: the piece packs what it needs just before use.
bool shares_packing(const Product& product) {
  return product.b.layout != RightLayout::kTileBlocks && product.num_rows > kCallRows;
}

// ---- one piece
// -----------------------------------------------------------------------------------------------

struct Rows {
  int64_t begin, count, padded_count;

  bool are_whole() const { return count == padded_count; }
};

struct Left {
  const Bf16* data;
  int64_t stride;
};

/// Where a block of sums is: the output itself, or 64 columns of scratch that are rounded to it at the end.
struct Sums {
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
  tile_packing_table().transpose(to, kTransposedDepth, from, a.stride, rows.count, step.depth);
  for (int64_t r = 0; r < rows.padded_count; ++r, to += kTransposedDepth) {
    const int64_t depth = r < rows.count ? step.depth : 0;
    std::fill_n(to + depth, step.padded_depth - depth, Bf16{});
  }
}

class PieceRunner {
 public:
  /// `packed`: what pack_step gave for the whole product, or null: packed here.
  PieceRunner(const Product& product, const Piece& piece, const Bf16* packed, const TileEngine& engine)
      : product_(product), piece_(piece), packed_(packed), engine_(engine), steps_(depth_steps(product)) {}

  void run() {
    for (int64_t row = piece_.row_begin; row < piece_.row_end; row += kCallRows) {
      const int64_t count = std::min(kCallRows, piece_.row_end - row);
      const Rows rows{row, count, round_up(count, kRowMultiple)};
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
        const Sums c = sums(rows, column);
        if (is_first) load(rows, column, c);
        engine_.multiply(rows.padded_count, step.padded_depth, a.data, a.stride, right(column, step), c.data,
                         c.stride, !is_first || product_.out.accumulate);
        if (is_last) finish(rows, column, c);
      });
    }
  }

  /// A product of no depth.
  void clear(const Rows& rows) {
    for_each_block([&](int64_t column) {
      const Sums c = sums(rows, column);
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
      Bf16* copy = scratch.get<Bf16>(kCallRows * kTransposedDepth);
      copy_transposed(copy, a, rows, step);
      return {copy, kTransposedDepth};
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

  Sums sums(const Rows& rows, int64_t column) const {
    static thread_local Scratch scratch;
    if (!product_.out.is_bf16 && rows.are_whole() && width(column) == kTileColumns)
      return {output<float>(rows, column), product_.out.stride, true};
    // With several steps, every block of columns keeps its sums from step to step.
    const int64_t num_columns =
        steps_.size() > 1 ? round_up(piece_.column_end - piece_.column_begin, kTileColumns) : kTileColumns;
    float* all = scratch.get<float>(kCallRows * num_columns);
    return {steps_.size() > 1 ? all + (column - piece_.column_begin) * kCallRows : all, kTileColumns, false};
  }

  /// The sums start from the output, where they are added to it and lie elsewhere.
  void load(const Rows& rows, int64_t column, const Sums& c) const {
    if (!product_.out.accumulate || c.are_output) return;
    std::fill_n(c.data, rows.padded_count * c.stride, 0.0f);
    const float* out = output<float>(rows, column);
    for (int64_t r = 0; r < rows.count; ++r)
      std::copy_n(out + r * product_.out.stride, width(column), c.data + r * c.stride);
  }

  void finish(const Rows& rows, int64_t column, const Sums& c) const {
    if (c.are_output && !product_.out.bias) return;
    product_.out.is_bf16 ? store<Bf16>(rows, column, c) : store<float>(rows, column, c);
  }

  template <typename Out>
  void store(const Rows& rows, int64_t column, const Sums& c) const {
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

// ---- batches
// -------------------------------------------------------------------------------------------------

/// Products that run together, and where in the packing buffer each one's right operand goes.
struct Batch {
  std::vector<Product> products;
  std::vector<int64_t> offsets;
  int64_t packed_size = 0;

  void add(const Product& product) {
    products.push_back(product);
    offsets.push_back(packed_size);
    if (shares_packing(product)) packed_size += packed_elements(product);
  }
};

struct PackingTask {
  size_t product;
  int64_t column;
  DepthStep step;
};

std::vector<PackingTask> packing_tasks(const Batch& batch) {
  std::vector<PackingTask> tasks;
  for (size_t p = 0; p < batch.products.size(); ++p) {
    if (!shares_packing(batch.products[p])) continue;
    const std::vector<DepthStep> steps = cut_depth(batch.products[p], kPackingDepth);
    // Columns fastest: neighbours share the pages of a B that lies in rows.
    for (const DepthStep& step : steps)
      for (int64_t column = 0; column < batch.products[p].num_columns; column += kTileColumns)
        tasks.push_back({p, column, step});
  }
  return tasks;
}

std::vector<Piece> pieces_of(const Batch& batch) {
  std::vector<Piece> pieces;
  for (size_t p = 0; p < batch.products.size(); ++p) {
    const Product& product = batch.products[p];
    const bool transposed = product.a.is_transposed;
    const auto cut = cut_into_pieces({product}, transposed ? kTransposedPieceRows : kPieceRows, kRowMultiple,
                                     transposed ? kTransposedPieceColumns : kPieceColumns);
    for (Piece piece : cut) {
      piece.product = static_cast<int64_t>(p);
      pieces.push_back(piece);
    }
  }
  return pieces;
}

void run_batch(const Batch& batch, const TileEngine& engine) {
  static thread_local Scratch scratch;
  Bf16* const packed = scratch.get<Bf16>(batch.packed_size);
  const std::vector<PackingTask> tasks = packing_tasks(batch);
  core::parallel_for(static_cast<int64_t>(tasks.size()), [&](int64_t i) {
    const auto& [p, column, step] = tasks[static_cast<size_t>(i)];
    const Product& product = batch.products[p];
    pack_step(packed + batch.offsets[p] + block_offset(product, column) + step.k * kTileColumns, product.b,
              column, std::min(kTileColumns, product.num_columns - column), step);
  });
  const std::vector<Piece> pieces = pieces_of(batch);
  core::parallel_for(static_cast<int64_t>(pieces.size()), [&](int64_t i) {
    const Piece& piece = pieces[static_cast<size_t>(i)];
    const auto p = static_cast<size_t>(piece.product);
    const Product& product = batch.products[p];
    PieceRunner(product, piece, shares_packing(product) ? packed + batch.offsets[p] : nullptr, engine).run();
  });
}

// ---- products that are larger than the packing buffer
// --------------------------------------------------------

const void* advanced(const void* data, int64_t elements) {
  return static_cast<const Bf16*>(data) + elements;
}

/// The same product over [k, k + depth) and `width` columns from `column` on; adds to the output unless
/// k = 0.
Product part_of(const Product& product, int64_t k, int64_t depth, int64_t column, int64_t width) {
  Product part = product;
  part.num_columns = width;
  part.depth = depth;
  part.a.data = advanced(product.a.data, k * (product.a.is_transposed ? product.a.stride : 1));
  part.b.data = right_element(product.b, column, k);
  part.out.data = static_cast<char*>(product.out.data) +
                  column * static_cast<int64_t>(product.out.is_bf16 ? sizeof(Bf16) : sizeof(float));
  if (product.out.bias) part.out.bias = product.out.bias + column;
  part.out.accumulate = product.out.accumulate || k > 0;
  return part;
}

/// Parts that each fit, to be run one after the other. Cuts in depth fall between the engine's steps.
std::vector<Product> cut_to_fit(const Product& product, int64_t max_packed) {
  if (!shares_packing(product) || packed_elements(product) <= max_packed) return {product};
  const int64_t all_columns = round_up(product.num_columns, kTileColumns);
  const bool may_cut_depth = product.a.is_transposed && !product.out.is_bf16 && !product.out.bias;
  const int64_t max_depth =
      may_cut_depth ? std::max(kTransposedDepth, round_down(max_packed / all_columns, kTransposedDepth))
                    : product.depth;
  const int64_t part_depth = std::min(max_depth, product.depth);
  const int64_t max_columns = std::max(
      kTileColumns, round_down(max_packed / round_up(part_depth, depth_multiple(product)), kTileColumns));
  std::vector<Product> parts;
  for (int64_t k = 0; k < product.depth; k += part_depth)
    for (int64_t n = 0; n < product.num_columns; n += max_columns)
      parts.push_back(part_of(product, k, std::min(part_depth, product.depth - k), n,
                              std::min(max_columns, product.num_columns - n)));
  return parts;
}

}  // namespace

void pack_tiles(Bf16* packed, const Bf16* b, RightLayout layout, int64_t stride, int64_t num_columns,
                int64_t depth) {
  const int64_t column_step = kTileColumns * (layout == RightLayout::kColumns ? stride : 1);
  for (int64_t first = 0; first < num_columns; first += kTileColumns, b += column_step) {
    pack_block(packed, b, layout, stride, std::min(kTileColumns, num_columns - first), depth);
    packed += tile_packed_size(kTileColumns, depth);
  }
}

void run_tile_piece(const Product& product, const Piece& piece, const TileEngine& engine) {
  PieceRunner(product, piece, nullptr, engine).run();
}

void run_tile_products(const std::vector<Product>& products, const TileEngine& engine,
                       int64_t max_packed_elements) {
  Batch batch;
  const auto run = [&] {
    if (!batch.products.empty()) run_batch(batch, engine);
    batch = {};
  };
  for (const Product& product : products) {
    const std::vector<Product> parts = cut_to_fit(product, max_packed_elements);
    for (const Product& part : parts) {
      const int64_t size = shares_packing(part) ? packed_elements(part) : 0;
      if (parts.size() > 1 || batch.packed_size + size > max_packed_elements) run();
      batch.add(part);
    }
  }
  run();
}

}  // namespace athanor::kernels::cpu
