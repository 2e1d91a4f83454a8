#include "kernels/cpu/scaled_products.h"

#include <algorithm>
#include <array>

#include "core/parallel_for.h"
#include "kernels/cpu/fp8_rows.h"
#include "kernels/cpu/row_ops.h"
#include "kernels/cpu/scratch.h"

namespace athanor::kernels::cpu {
namespace {

// Smaller than the pieces of an unscaled product: two fp32 copies of it are at work.
constexpr int64_t kScaledPieceRows = 126, kScaledRowMultiple = 42, kScaledPieceColumns = 256;

class ScaledPiece {
 public:
  ScaledPiece(const ScaledProduct& scaled, const Piece& piece)
      : scaled_(scaled),
        product_(scaled.product),
        piece_(piece),
        num_rows_(piece.row_end - piece.row_begin),
        num_columns_(piece.column_end - piece.column_begin) {}

  void run() {
    static thread_local Scratch part_scratch, sum_scratch;
    part_ = part_scratch.get<float>(kScaledPieceRows * kScaledPieceColumns);
    sums_ = sum_scratch.get<float>(kScaledPieceRows * kScaledPieceColumns);
    load_sums();
    for (int64_t k = 0, block = 0; k < product_.depth; k += kScaledDepth, ++block) {
      multiply(k, std::min(kScaledDepth, product_.depth - k));
      add_part(block);
    }
    product_.out.is_bf16 ? store_sums<Bf16>() : store_sums<float>();
  }

 private:
  int64_t first_out() const { return piece_.row_begin * product_.out.stride + piece_.column_begin; }

  void load_sums() {
    std::fill_n(sums_, num_rows_ * kScaledPieceColumns, 0.0f);
    if (!product_.out.accumulate) return;
    const float* out = static_cast<const float*>(product_.out.data) + first_out();
    for (int64_t r = 0; r < num_rows_; ++r)
      std::copy_n(out + r * product_.out.stride, num_columns_, sums_ + r * kScaledPieceColumns);
  }

  /// part = a[piece's rows, k .. k + depth) · b[k .. k + depth, piece's columns).
  void multiply(int64_t k, int64_t depth) {
    Product part = product_;
    part.num_rows = num_rows_;
    part.num_columns = num_columns_;
    part.depth = depth;
    const int64_t a_stride = part.a.stride, b_stride = part.b.stride;
    part.a.data = element<Bf16>(part.a.data, part.a.is_transposed ? k * a_stride + piece_.row_begin
                                                                  : piece_.row_begin * a_stride + k);
    part.b.data = element<Bf16>(part.b.data, part.b.layout == RightLayout::kColumns
                                                 ? piece_.column_begin * b_stride + k
                                                 : k * b_stride + piece_.column_begin);
    part.out = {part_, false, kScaledPieceColumns};
    run_piece(part, {0, 0, num_rows_, 0, num_columns_});
  }

  void add_part(int64_t block) {
    std::array<float, kScaledPieceColumns> column_scales;
    for (int64_t c = 0; c < num_columns_; ++c)
      column_scales[static_cast<size_t>(c)] = scaled_.column_scales.at(piece_.column_begin + c, block);
    const AddScaled add = add_scaled();
    for (int64_t r = 0; r < num_rows_; ++r)
      add(sums_ + r * kScaledPieceColumns, part_ + r * kScaledPieceColumns,
          scaled_.row_scales.at(piece_.row_begin + r, block), column_scales.data(), num_columns_);
  }

  template <typename Out>
  void store_sums() {
    const float* bias = product_.out.bias ? product_.out.bias + piece_.column_begin : nullptr;
    Out* out = static_cast<Out*>(product_.out.data) + first_out();
    for (int64_t r = 0; r < num_rows_; ++r)
      row_table<Out>().finish_row(out + r * product_.out.stride, sums_ + r * kScaledPieceColumns, bias,
                                  num_columns_);
  }

  const ScaledProduct& scaled_;
  const Product& product_;
  const Piece& piece_;
  const int64_t num_rows_, num_columns_;
  float *part_ = nullptr, *sums_ = nullptr;
};

}  // namespace

void run_scaled_products(const std::vector<ScaledProduct>& products) {
  std::vector<Product> plain;
  for (const ScaledProduct& scaled : products) plain.push_back(scaled.product);
  const std::vector<Piece> pieces =
      cut_into_pieces(plain, kScaledPieceRows, kScaledRowMultiple, kScaledPieceColumns);
  core::parallel_for(static_cast<int64_t>(pieces.size()), [&](int64_t i) {
    ScaledPiece(products[static_cast<size_t>(pieces[i].product)], pieces[i]).run();
  });
}

}  // namespace athanor::kernels::cpu
