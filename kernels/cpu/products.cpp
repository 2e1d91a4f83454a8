#include "kernels/cpu/products.h"

#include <algorithm>

#include "core/parallel_for.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/pieces.h"
#include "kernels/cpu/row_ops.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/tile_products.h"

namespace athanor::kernels::cpu {
namespace {

// A piece's parts of A, B and C fit a second-level cache together at one block of depth.
constexpr int64_t kPieceRows = 252, kRowMultiple = 42, kPieceColumns = 256;
static_assert(kPieceColumns % kPanelColumns == 0);

/// Where the sums of a piece go: the output itself, or scratch that is rounded to it at the end.
struct Sums {
  float* data;
  int64_t stride;
};

template <typename A, typename B>
GemmArgs<A, B> gemm_args(const Product& product, const Piece& piece, const Sums& sums) {
  GemmArgs<A, B> args{};
  args.num_rows = piece.row_end - piece.row_begin;
  args.num_columns = piece.column_end - piece.column_begin;
  args.depth = product.depth;
  args.a = element<A>(product.a.data, piece.row_begin * (product.a.is_transposed ? 1 : product.a.stride));
  args.a_stride = product.a.stride;
  args.a_is_transposed = product.a.is_transposed;
  args.c = sums.data;
  args.c_stride = sums.stride;
  args.accumulate = product.out.accumulate;
  return args;
}

/// B is packed: one call.
template <typename A, typename B>
void multiply_packed(const Product& product, const Piece& piece, const Sums& sums) {
  auto args = gemm_args<A, B>(product, piece, sums);
  args.packed_b = element<B>(product.b.data, piece.column_begin * product.depth);
  gemm(args);
}

template <typename B>
void pack_part(B* packed, const Product& product, const Piece& piece, int64_t k, int64_t depth) {
  const int64_t num_columns = piece.column_end - piece.column_begin, stride = product.b.stride;
  if (product.b.layout == RightLayout::kColumns)
    pack_nk(packed, element<B>(product.b.data, piece.column_begin * stride + k), stride, num_columns, depth);
  else
    pack_kn(packed, element<B>(product.b.data, k * stride + piece.column_begin), stride, num_columns, depth);
}

/// B lies plainly: the part that a block of depth needs is packed just before use.
template <typename A, typename B>
void multiply_plain(const Product& product, const Piece& piece, const Sums& sums) {
  static thread_local Scratch scratch;
  B* packed = scratch.get<B>(kPieceColumns * kGemmDepthBlock);
  auto args = gemm_args<A, B>(product, piece, sums);
  const A* first_a = args.a;
  int64_t k = 0;
  do {
    args.depth = std::min(kGemmDepthBlock, product.depth - k);
    pack_part(packed, product, piece, k, args.depth);
    args.packed_b = packed;
    args.a = first_a + k * (args.a_is_transposed ? args.a_stride : 1);
    gemm(args);
    args.accumulate = true;
    k += args.depth;
  } while (k < product.depth);
}

template <typename A, typename B>
void multiply(const Product& product, const Piece& piece, const Sums& sums) {
  if (product.b.layout == RightLayout::kPanels)
    multiply_packed<A, B>(product, piece, sums);
  else
    multiply_plain<A, B>(product, piece, sums);
}

void multiply_any(const Product& product, const Piece& piece, const Sums& sums) {
  if (product.a.is_bf16)
    product.b.is_bf16 ? multiply<Bf16, Bf16>(product, piece, sums)
                      : multiply<Bf16, float>(product, piece, sums);
  else
    product.b.is_bf16 ? multiply<float, Bf16>(product, piece, sums)
                      : multiply<float, float>(product, piece, sums);
}

template <typename Out>
void finish_piece(const Product& product, const Piece& piece, const Sums& sums) {
  const float* bias = product.out.bias ? product.out.bias + piece.column_begin : nullptr;
  Out* out = static_cast<Out*>(product.out.data) + piece.row_begin * product.out.stride + piece.column_begin;
  for (int64_t r = 0; r < piece.row_end - piece.row_begin; ++r)
    row_table<Out>().finish_row(out + r * product.out.stride, sums.data + r * sums.stride, bias,
                                piece.column_end - piece.column_begin);
}

void run_on_gemm(const Product& product, const Piece& piece) {
  static thread_local Scratch scratch;
  if (product.out.is_bf16) {
    const Sums sums{scratch.get<float>(kPieceRows * kPieceColumns), kPieceColumns};
    multiply_any(product, piece, sums);
    return finish_piece<Bf16>(product, piece, sums);
  }
  float* out = static_cast<float*>(product.out.data);
  const Sums sums{out + piece.row_begin * product.out.stride + piece.column_begin, product.out.stride};
  multiply_any(product, piece, sums);
  if (product.out.bias) finish_piece<float>(product, piece, sums);
}

bool for_tiles(const Product& product) {
  if (product.b.layout == RightLayout::kTileBlocks) return true;
  return product.a.is_bf16 && product.b.is_bf16 && product.b.layout != RightLayout::kPanels && tile_engine();
}

}  // namespace

void run_piece(const Product& product, const Piece& piece) {
  for_tiles(product) ? run_tile_piece(product, piece, *tile_engine()) : run_on_gemm(product, piece);
}

std::vector<Piece> cut_into_pieces(const std::vector<Product>& products, int64_t max_rows,
                                   int64_t row_multiple, int64_t max_columns) {
  std::vector<Piece> pieces;
  for (size_t p = 0; p < products.size(); ++p) {
    const auto& [num_rows, num_columns, depth, a, b, out] = products[p];
    if (num_rows == 0) continue;
    const int64_t even_height = divide_up(num_rows, divide_up(num_rows, max_rows));
    const int64_t height = divide_up(even_height, row_multiple) * row_multiple;
    for (int64_t n = 0; n < num_columns; n += max_columns)
      for (int64_t m = 0; m < num_rows; m += height)
        pieces.push_back({static_cast<int64_t>(p), m, std::min(m + height, num_rows), n,
                          std::min(n + max_columns, num_columns)});
  }
  return pieces;
}

void run_products(const std::vector<Product>& products) {
  if (!products.empty() && std::all_of(products.begin(), products.end(), for_tiles))
    return run_tile_products(products, *tile_engine());
  const std::vector<Piece> pieces = cut_into_pieces(products, kPieceRows, kRowMultiple, kPieceColumns);
  core::parallel_for(static_cast<int64_t>(pieces.size()), [&](int64_t i) {
    run_on_gemm(products[static_cast<size_t>(pieces[i].product)], pieces[i]);
  });
}

}  // namespace athanor::kernels::cpu
