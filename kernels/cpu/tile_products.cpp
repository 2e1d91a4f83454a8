#include "kernels/cpu/tile_products.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>

#include <ATen/native/CPUBlas.h>

#include "core/log.h"
#include "core/parallel_for.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/row_ops.h"
#include "kernels/cpu/scratch.h"

namespace athanor::kernels::cpu {
namespace {

constexpr int64_t kCallRows = 128, kRowMultiple = 16, kPieceRows = 256, kPieceColumns = 256;
constexpr int64_t kTransposedDepth = 512, kTransposedDepthMultiple = 64;

int64_t round_up(int64_t a, int64_t multiple) {
  return (a + multiple - 1) / multiple * multiple;
}

// ---- the engine that LibTorch exports
// ------------------------------------------------------------------------

void libtorch_multiply(int64_t m, int64_t k, const Bf16* a, int64_t a_stride, const Bf16* b, float* c,
                       int64_t c_stride, bool accumulate) {
  at::native::cpublas::brgemm(m, kTileColumns, k, a_stride, kTileColumns, c_stride, accumulate,
                              reinterpret_cast<const at::BFloat16*>(a),
                              reinterpret_cast<const at::BFloat16*>(b), c);
}

void libtorch_release() {
  at::native::cpublas::brgemm_release();
}

constexpr TileEngine kLibtorchEngine{libtorch_multiply, libtorch_release};

const TileEngine* find_engine() {
  if (!at::native::cpublas::could_pack(at::kBFloat16)) return nullptr;
  try {
    if (agrees_with_gemm(kLibtorchEngine)) return &kLibtorchEngine;
    core::log::warning("the tile product of this machine gives wrong results; bf16 products use {}",
                       gemm_kernel_name());
  } catch (const std::exception& error) {
    core::log::warning("the tile product of this machine failed ({}); bf16 products use {}", error.what(),
                       gemm_kernel_name());
  }
  return nullptr;
}

// ---- one piece
// -----------------------------------------------------------------------------------------------

/// A step of depth: [k, k + depth), of which padded_depth is computed (the rest are zeros).
struct DepthStep {
  int64_t k, depth, padded_depth;
};

std::vector<DepthStep> depth_steps(const Product& product) {
  std::vector<DepthStep> steps;
  const int64_t step = product.a.is_transposed ? kTransposedDepth : std::max<int64_t>(product.depth, 1);
  const int64_t multiple = product.a.is_transposed ? kTransposedDepthMultiple : 2;
  for (int64_t k = 0; k < product.depth; k += step) {
    const int64_t depth = std::min(step, product.depth - k);
    steps.push_back({k, depth, round_up(depth, multiple)});
  }
  return steps;
}

struct Rows {
  int64_t begin, count, padded_count;
};

/// A's block, copied with zeros around it: rows of padded_depth.
void copy_left(Bf16* to, const LeftOperand& a, const Rows& rows, const DepthStep& step) {
  const auto* from = static_cast<const Bf16*>(a.data);
  std::fill_n(to, rows.padded_count * step.padded_depth, Bf16{});
  if (!a.is_transposed) {
    for (int64_t r = 0; r < rows.count; ++r)
      std::copy_n(from + (rows.begin + r) * a.stride + step.k, step.depth, to + r * step.padded_depth);
    return;
  }
  for (int64_t k = 0; k < step.depth; ++k)
    for (int64_t r = 0; r < rows.count; ++r)
      to[r * step.padded_depth + k] = from[(step.k + k) * a.stride + rows.begin + r];
}

/// B's 64 columns for one step: a place in the packed operand, or packed now.
const Bf16* right_block(Scratch& scratch, const Product& product, int64_t column, const DepthStep& step) {
  const auto* b = static_cast<const Bf16*>(product.b.data);
  if (product.b.layout == RightLayout::kTileBlocks) return b + column * round_up(product.depth, 2);
  Bf16* packed = scratch.get<Bf16>(kTileColumns * step.padded_depth);
  std::fill_n(packed + kTileColumns * round_up(step.depth, 2),
              kTileColumns * (step.padded_depth - round_up(step.depth, 2)), Bf16{});
  const bool columns = product.b.layout == RightLayout::kColumns;
  const int64_t column_stride = columns ? product.b.stride : 1, depth_stride = columns ? 1 : product.b.stride;
  pack_tiles(packed, b + column * column_stride + step.k * depth_stride, column_stride, depth_stride,
             std::min(kTileColumns, product.num_columns - column), step.depth);
  return packed;
}

class PieceRunner {
 public:
  PieceRunner(const Product& product, const Piece& piece, const TileEngine& engine)
      : product_(product), piece_(piece), engine_(engine), steps_(depth_steps(product)) {}

  void run() {
    static thread_local Scratch sums_scratch, left_scratch, right_scratch;
    left_scratch_ = &left_scratch;
    sums_ = sums_scratch.get<float>(kPieceRows * kTileColumns);
    for (int64_t column = piece_.column_begin; column < piece_.column_end; column += kTileColumns) {
      width_ = std::min(kTileColumns, piece_.column_end - column);
      load_sums(column);
      bool accumulate = product_.out.accumulate;
      for (const DepthStep& step : steps_) {
        multiply_rows(step, right_block(right_scratch, product_, column, step), accumulate);
        accumulate = true;
      }
      product_.out.is_bf16 ? store_sums<Bf16>(column) : store_sums<float>(column);
    }
    engine_.release();
  }

 private:
  int64_t num_rows() const { return piece_.row_end - piece_.row_begin; }

  void load_sums(int64_t column) {
    std::fill_n(sums_, kPieceRows * kTileColumns, 0.0f);
    if (!product_.out.accumulate) return;
    const float* out = static_cast<const float*>(product_.out.data) + column;
    for (int64_t r = 0; r < num_rows(); ++r)
      std::copy_n(out + (piece_.row_begin + r) * product_.out.stride, width_, sums_ + r * kTileColumns);
  }

  void multiply_rows(const DepthStep& step, const Bf16* b, bool accumulate) {
    for (int64_t r = 0; r < num_rows(); r += kCallRows) {
      const int64_t count = std::min(kCallRows, num_rows() - r);
      const Rows rows{piece_.row_begin + r, count, round_up(count, kRowMultiple)};
      const bool in_place =
          !product_.a.is_transposed && step.depth == step.padded_depth && rows.padded_count == count;
      const Bf16* a = static_cast<const Bf16*>(product_.a.data) + rows.begin * product_.a.stride;
      if (!in_place) {
        Bf16* copy = left_scratch_->get<Bf16>(rows.padded_count * step.padded_depth);
        copy_left(copy, product_.a, rows, step);
        a = copy;
      }
      engine_.multiply(rows.padded_count, step.padded_depth, a,
                       in_place ? product_.a.stride : step.padded_depth, b, sums_ + r * kTileColumns,
                       kTileColumns, accumulate);
    }
  }

  template <typename Out>
  void store_sums(int64_t column) {
    const float* bias = product_.out.bias ? product_.out.bias + column : nullptr;
    Out* out = static_cast<Out*>(product_.out.data) + column;
    for (int64_t r = 0; r < num_rows(); ++r)
      row_table<Out>().finish_row(out + (piece_.row_begin + r) * product_.out.stride,
                                  sums_ + r * kTileColumns, bias, width_);
  }

  const Product& product_;
  const Piece& piece_;
  const TileEngine& engine_;
  const std::vector<DepthStep> steps_;
  Scratch* left_scratch_ = nullptr;
  float* sums_ = nullptr;
  int64_t width_ = 0;
};

float widened(Bf16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

/// Values in [-1, 1) that bf16 holds exactly.
std::vector<Bf16> sample_values(int64_t count, uint32_t seed) {
  std::vector<Bf16> values(static_cast<size_t>(count));
  for (auto& value : values) {
    seed = seed * 1664525u + 1013904223u;
    const float x = static_cast<float>(static_cast<int32_t>(seed >> 24) - 128) / 128.0f;
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof(bits));
    value.bits = static_cast<uint16_t>(bits >> 16);
  }
  return values;
}

}  // namespace

const TileEngine* tile_engine() {
  static const TileEngine* const engine = find_engine();
  return engine;
}

bool agrees_with_gemm(const TileEngine& engine) {
  constexpr int64_t kRows = 147, kColumns = 70, kDepth = 133;
  const auto a = sample_values(kRows * kDepth, 1), b = sample_values(kColumns * kDepth, 2);
  std::vector<float> out(kRows * kColumns);
  for (const bool transposed : {false, true}) {
    const Product product{kRows,
                          kColumns,
                          kDepth,
                          {a.data(), true, transposed ? kRows : kDepth, transposed},
                          {b.data(), true, transposed ? RightLayout::kRows : RightLayout::kColumns,
                           transposed ? kColumns : kDepth},
                          {out.data(), false, kColumns}};
    // On this thread alone: another thread may be waiting for the answer in the middle of a loop of its own.
    for (const Piece& piece : cut_into_pieces({product}, kPieceRows, kRowMultiple, kPieceColumns))
      PieceRunner(product, piece, engine).run();
    for (int64_t i = 0; i < kRows * kColumns; ++i) {
      const int64_t m = i / kColumns, n = i % kColumns;
      double expected = 0;
      for (int64_t k = 0; k < kDepth; ++k)
        expected += static_cast<double>(widened(a[transposed ? k * kRows + m : m * kDepth + k])) *
                    static_cast<double>(widened(b[transposed ? k * kColumns + n : n * kDepth + k]));
      if (!(std::abs(out[i] - expected) <= 1e-3)) return false;
    }
  }
  return true;
}

void pack_tiles(Bf16* packed, const Bf16* b, int64_t column_stride, int64_t depth_stride, int64_t num_columns,
                int64_t depth) {
  const int64_t padded_depth = round_up(depth, 2);
  for (int64_t first = 0; first < num_columns; first += kTileColumns, packed += kTileColumns * padded_depth) {
    const int64_t width = std::min(kTileColumns, num_columns - first);
    for (int64_t k = 0; k < padded_depth; ++k)
      for (int64_t n = 0; n < kTileColumns; ++n) {
        const bool exists = n < width && k < depth;
        packed[(k / 2 * kTileColumns + n) * 2 + k % 2] =
            exists ? b[(first + n) * column_stride + k * depth_stride] : Bf16{};
      }
  }
}

void run_tile_piece(const Product& product, const Piece& piece, const TileEngine& engine) {
  PieceRunner(product, piece, engine).run();
}

void run_tile_products(const std::vector<Product>& products, const TileEngine& engine) {
  const std::vector<Piece> pieces = cut_into_pieces(products, kPieceRows, kRowMultiple, kPieceColumns);
  core::parallel_for(static_cast<int64_t>(pieces.size()), [&](int64_t i) {
    run_tile_piece(products[static_cast<size_t>(pieces[i].product)], pieces[i], engine);
  });
}

}  // namespace athanor::kernels::cpu
