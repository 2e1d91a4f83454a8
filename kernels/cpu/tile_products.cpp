// A list of products becomes batches whose right operands fit the packing buffer together; a batch is packed
// on all threads, then multiplied on all threads, piece by piece.
#include "kernels/cpu/tile_products.h"

#include <algorithm>

#include "core/parallel_for.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/tile_piece.h"

namespace athanor::kernels::cpu {
namespace {

// Weight gradients: the transposed copy of A (128 x 512) stays in the second-level cache for many columns.
constexpr int64_t kTilePieceRows = 256, kTilePieceColumns = 256;
constexpr int64_t kTransposedPieceRows = kTileCallRows, kTransposedPieceColumns = 1024;
constexpr int64_t kPackingDepth = 512;

int64_t round_down(int64_t a, int64_t multiple) {
  return a / multiple * multiple;
}

int64_t packed_elements(const Product& product) {
  return block_offset(product, round_up(product.num_columns, kTileColumns));
}

/// With one row block there is nobody to share with: the piece packs what it needs just before use.
bool shares_packing(const Product& product) {
  return product.b.layout != RightLayout::kTileBlocks && product.num_rows > kTileCallRows;
}

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
    const auto cut =
        cut_into_pieces({product}, transposed ? kTransposedPieceRows : kTilePieceRows, kTileRowMultiple,
                        transposed ? kTransposedPieceColumns : kTilePieceColumns);
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
    run_tile_piece(product, piece, shares_packing(product) ? packed + batch.offsets[p] : nullptr, engine);
  });
}

// ---- products that are larger than the packing buffer
// --------------------------------------------------------

/// The same product over [k, k + depth) and `width` columns from `column` on; adds to the output unless
/// k = 0.
Product part_of(const Product& product, int64_t k, int64_t depth, int64_t column, int64_t width) {
  Product part = product;
  part.num_columns = width;
  part.depth = depth;
  part.a.data = element<Bf16>(product.a.data, k * (product.a.is_transposed ? product.a.stride : 1));
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
      may_cut_depth
          ? std::max(kTransposedTileDepth, round_down(max_packed / all_columns, kTransposedTileDepth))
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
  const TilePackingTable& table = tile_packing_table();
  const auto pack_block = layout == RightLayout::kColumns ? table.pack_columns : table.pack_rows;
  const int64_t column_step = kTileColumns * (layout == RightLayout::kColumns ? stride : 1);
  for (int64_t first = 0; first < num_columns; first += kTileColumns, b += column_step) {
    pack_block(packed, b, stride, std::min(kTileColumns, num_columns - first), depth);
    packed += tile_packed_size(kTileColumns, depth);
  }
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
