// Products on all threads: any number of them is cut into pieces (rows × columns, whole depth) whose
// boundaries depend on shapes alone, and each piece runs on one thread.
#pragma once

#include <cstdint>
#include <vector>

namespace athanor::kernels::cpu {

enum class RightLayout {
  kColumns,     ///< [N, K] in memory: b[n * stride + k]
  kRows,        ///< [K, N] in memory: b[k * stride + n]
  kPanels,      ///< packed as in gemm.h
  kTileBlocks,  ///< packed as in tile_products.h
};

template <typename T>
const T* element(const void* data, int64_t index) {
  return static_cast<const T*>(data) + index;
}

struct LeftOperand {
  const void* data;
  bool is_bf16;
  int64_t stride;              ///< elements between rows in memory
  bool is_transposed = false;  ///< lies as [K, M]
};

struct RightOperand {
  const void* data;
  bool is_bf16;
  RightLayout layout;
  int64_t stride = 0;  ///< for kColumns and kRows
};

struct OutputOperand {
  void* data;
  bool is_bf16;
  int64_t stride;
  bool accumulate = false;      ///< not with bf16
  const float* bias = nullptr;  ///< [N]
};

/// out [M, N] = a [M, K] · b [K, N] (+ bias) or +=.
struct Product {
  int64_t num_rows, num_columns, depth;
  LeftOperand a;
  RightOperand b;
  OutputOperand out;
};

/// Runs all products; outputs must not overlap anything. Products of two bf16 operands go to the tile
/// hardware where there is some (tile_products.h), all others to gemm.h.
void run_products(const std::vector<Product>& products);

/// A range of rows and columns of one product.
struct Piece {
  int64_t product, row_begin, row_end, column_begin, column_end;
};

/// Cuts every product into pieces of about max_rows × max_columns, row pieces of equal height (a multiple of
/// row_multiple), rows fastest so that neighbours share their part of B.
std::vector<Piece> cut_into_pieces(const std::vector<Product>& products, int64_t max_rows,
                                   int64_t row_multiple, int64_t max_columns);

/// Runs one piece (at most 252 rows and 256 columns, columns from a multiple of 64) on the calling thread.
void run_piece(const Product& product, const Piece& piece);

}  // namespace athanor::kernels::cpu
