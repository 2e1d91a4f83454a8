#include "kernels/cpu/products.h"

#include <chrono>

#include <ATen/ops/arange.h>

#include "core/error.h"
#include "core/parallel_for.h"
#include "kernels/checks.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/row_ops.h"
#include "kernels/cpu/tile_products.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda_plugin.h"
#include "kernels/ops.h"

namespace athanor::kernels {

struct PackedMatrixAccess {
  static PackedMatrix make(at::Tensor storage, int64_t num_columns, int64_t depth) {
    PackedMatrix packed;
    packed.storage_ = std::move(storage);
    packed.num_columns_ = num_columns;
    packed.depth_ = depth;
    return packed;
  }
};

namespace {

using cpu::LeftOperand;
using cpu::OutputOperand;
using cpu::Product;
using cpu::RightLayout;
using cpu::RightOperand;

LeftOperand left(const at::Tensor& a, bool is_transposed = false) {
  return {a.const_data_ptr(), is_bf16(a), a.stride(0), is_transposed};
}

RightOperand right(const at::Tensor& b, RightLayout layout) {
  return {b.const_data_ptr(), is_bf16(b), layout, b.stride(0)};
}

OutputOperand output(const at::Tensor& out, bool accumulate) {
  return {out.mutable_data_ptr(), is_bf16(out), out.stride(0), accumulate};
}

// ---- checks
// --------------------------------------------------------------------------------------------------

void check_matrix(const Checker& check, const char* name, const at::Tensor& matrix) {
  check.dim(name, matrix, 2);
  check.compute_dtype(name, matrix);
  check.rows_contiguous(name, matrix);
}

void check_output(const Checker& check, const at::Tensor& out, int64_t num_rows, int64_t num_columns,
                  bool accumulate) {
  check.shape("out", out, {num_rows, num_columns});
  check_matrix(check, "out", out);
  if (accumulate) check.dtype("out, which is added to,", out, at::kFloat);
}

void check_bias(const Checker& check, const std::optional<at::Tensor>& bias, int64_t num_columns) {
  if (!bias || !bias->defined()) return;
  check.shape("bias", *bias, {num_columns});
  check.compute_dtype("bias", *bias);
}

/// True on a CUDA device, false on the CPU.
bool on_cuda(const Checker& check, const at::Tensor& out, const at::Tensor& a, const at::Tensor& b,
             const std::optional<at::Tensor>& bias = std::nullopt) {
  const at::Tensor none;
  return check.on_cuda({&out, &a, &b, bias ? &*bias : &none});
}

/// The bias in fp32 (kept alive by the caller), or undefined.
at::Tensor f32_bias(const std::optional<at::Tensor>& bias) {
  return bias && bias->defined() ? bias->to(at::kFloat).contiguous() : at::Tensor();
}

// ---- packing
// -------------------------------------------------------------------------------------------------

template <typename T>
void pack_panel_group(T* packed, const T* b, const RightOperand& from, int64_t first, int64_t width,
                      int64_t depth) {
  packed += first * depth;
  if (from.layout == RightLayout::kColumns)
    cpu::pack_nk(packed, b + first * from.stride, from.stride, width, depth);
  else
    cpu::pack_kn(packed, b + first, from.stride, width, depth);
}

void pack_tile_group(cpu::Bf16* packed, const cpu::Bf16* b, const RightOperand& from, int64_t first,
                     int64_t width, int64_t depth) {
  cpu::pack_tiles(packed + cpu::tile_packed_size(first, depth),
                  b + first * (from.layout == RightLayout::kColumns ? from.stride : 1), from.layout,
                  from.stride, width, depth);
}

/// Tile blocks have three dimensions and panels two: so a packed operand says itself what it is.
at::Tensor pack(const at::Tensor& w, RightLayout layout, int64_t num_columns, int64_t depth) {
  constexpr int64_t kGroupColumns = 64;
  const RightOperand from = right(w, layout);
  const bool for_tiles = from.is_bf16 && cpu::tile_engine();
  const int64_t num_blocks = (num_columns + kGroupColumns - 1) / kGroupColumns;
  at::Tensor storage =
      for_tiles ? at::empty({num_blocks, (depth + 1) / 2, 2 * kGroupColumns}, w.options())
                : at::empty({num_columns == 0 ? 0 : cpu::packed_size(num_columns, 1), depth}, w.options());
  core::parallel_for(num_blocks, [&](int64_t block) {
    const int64_t first = block * kGroupColumns, width = std::min(kGroupColumns, num_columns - first);
    void* to = storage.mutable_data_ptr();
    if (for_tiles)
      pack_tile_group(static_cast<cpu::Bf16*>(to), static_cast<const cpu::Bf16*>(from.data), from, first,
                      width, depth);
    else if (from.is_bf16)
      pack_panel_group(static_cast<cpu::Bf16*>(to), static_cast<const cpu::Bf16*>(from.data), from, first,
                       width, depth);
    else
      pack_panel_group(static_cast<float*>(to), static_cast<const float*>(from.data), from, first, width,
                       depth);
  });
  return storage;
}

RightOperand right(const PackedMatrix& b) {
  const at::Tensor& storage = b.storage();
  return {storage.const_data_ptr(), is_bf16(storage),
          storage.dim() == 3 ? RightLayout::kTileBlocks : RightLayout::kPanels};
}

// ---- products
// ------------------------------------------------------------------------------------------------

/// One product with a plain right operand, which lies as `layout` says.
void multiply_plain(const Checker& check, const at::Tensor& out, const at::Tensor& a, const at::Tensor& w,
                    RightLayout layout, bool accumulate, const std::optional<at::Tensor>& bias) {
  check_matrix(check, "a", a);
  check_matrix(check, "w", w);
  const bool columns = layout == RightLayout::kColumns;
  const int64_t num_columns = w.size(columns ? 0 : 1), depth = w.size(columns ? 1 : 0);
  check.shape("a", a, {a.size(0), depth});
  check_output(check, out, a.size(0), num_columns, accumulate);
  check_bias(check, bias, num_columns);
  if (on_cuda(check, out, a, w, bias)) return cuda::matmul(out, a, columns ? w.t() : w, accumulate, bias);
  const at::Tensor bias_f32 = f32_bias(bias);
  OutputOperand to = output(out, accumulate);
  if (bias_f32.defined()) to.bias = bias_f32.const_data_ptr<float>();
  cpu::run_products({{a.size(0), num_columns, depth, left(a), right(w, layout), to}});
}

/// Rows [begin, begin + count) of a matrix; an empty range of an empty matrix too.
at::Tensor rows(const at::Tensor& matrix, int64_t begin, int64_t count) {
  return matrix.narrow(0, begin, count);
}

void multiply_grouped(const Checker& check, const at::Tensor& out, const at::Tensor& a, const at::Tensor& w,
                      RightLayout layout, const std::vector<int64_t>& offsets) {
  check_matrix(check, "a", a);
  check.dim("w", w, 3);
  check.compute_dtype("w", w);
  check.rows_contiguous("w", w);
  const bool columns = layout == RightLayout::kColumns;
  const int64_t num_columns = w.size(columns ? 1 : 2), depth = w.size(columns ? 2 : 1);
  check.shape("a", a, {a.size(0), depth});
  check_output(check, out, a.size(0), num_columns, false);
  check.offsets("offsets", offsets, w.size(0), a.size(0));
  if (on_cuda(check, out, a, w))
    return cuda::grouped_matmul(out, a, columns ? w.transpose(1, 2) : w, offsets);
  std::vector<Product> products;
  for (int64_t e = 0; e < w.size(0); ++e) {
    const int64_t begin = offsets[e], count = offsets[e + 1] - begin;
    if (count == 0) continue;
    products.push_back({count, num_columns, depth, left(rows(a, begin, count)), right(w.select(0, e), layout),
                        output(rows(out, begin, count), false)});
  }
  cpu::run_products(products);
}

void add_rows(float* out, const at::Tensor& a, int64_t first, int64_t width) {
  const auto add = [&](const auto* x) {
    using T = std::remove_cv_t<std::remove_pointer_t<decltype(x)>>;
    const auto add_row = cpu::row_table<T>().add_row;
    for (int64_t t = 0; t < a.size(0); ++t) add_row(out + first, x + t * a.stride(0) + first, width);
  };
  if (is_bf16(a))
    add(static_cast<const cpu::Bf16*>(a.const_data_ptr()));
  else
    add(a.const_data_ptr<float>());
}

}  // namespace

PackedMatrix pack_nt(const at::Tensor& w_NK) {
  const Checker check("pack_nt");
  check_matrix(check, "w", w_NK);
  const int64_t num_columns = w_NK.size(0), depth = w_NK.size(1);
  if (check.on_cuda({&w_NK})) return PackedMatrixAccess::make(w_NK.t(), num_columns, depth);
  return PackedMatrixAccess::make(pack(w_NK, RightLayout::kColumns, num_columns, depth), num_columns, depth);
}

PackedMatrix pack_nn(const at::Tensor& w_NK) {
  const Checker check("pack_nn");
  check_matrix(check, "w", w_NK);
  const int64_t num_columns = w_NK.size(1), depth = w_NK.size(0);
  if (check.on_cuda({&w_NK})) return PackedMatrixAccess::make(w_NK, num_columns, depth);
  return PackedMatrixAccess::make(pack(w_NK, RightLayout::kRows, num_columns, depth), num_columns, depth);
}

void matmul(const at::Tensor& out_MN, const at::Tensor& a_MK, const PackedMatrix& b, bool accumulate,
            const std::optional<at::Tensor>& bias_N) {
  const Checker check("matmul");
  ATHANOR_CHECK(b.defined(), "matmul: b was never packed");
  check_matrix(check, "a", a_MK);
  check.dtype("a, as b is packed,", a_MK, b.storage().scalar_type());
  check.shape("a", a_MK, {a_MK.size(0), b.depth()});
  check_output(check, out_MN, a_MK.size(0), b.num_columns(), accumulate);
  check_bias(check, bias_N, b.num_columns());
  if (on_cuda(check, out_MN, a_MK, b.storage(), bias_N))
    return cuda::matmul(out_MN, a_MK, b.storage(), accumulate, bias_N);
  const at::Tensor bias_f32 = f32_bias(bias_N);
  OutputOperand to = output(out_MN, accumulate);
  if (bias_f32.defined()) to.bias = bias_f32.const_data_ptr<float>();
  cpu::run_products({{a_MK.size(0), b.num_columns(), b.depth(), left(a_MK), right(b), to}});
}

void matmul_nt(const at::Tensor& out_MN, const at::Tensor& a_MK, const at::Tensor& w_NK, bool accumulate,
               const std::optional<at::Tensor>& bias_N) {
  multiply_plain(Checker("matmul_nt"), out_MN, a_MK, w_NK, RightLayout::kColumns, accumulate, bias_N);
}

void matmul_nn(const at::Tensor& out_MK, const at::Tensor& a_MN, const at::Tensor& w_NK, bool accumulate) {
  multiply_plain(Checker("matmul_nn"), out_MK, a_MN, w_NK, RightLayout::kRows, accumulate, std::nullopt);
}

void matmul_tn(const at::Tensor& out_NK, const at::Tensor& a_TN, const at::Tensor& b_TK, bool accumulate) {
  const Checker check("matmul_tn");
  check_matrix(check, "a", a_TN);
  check_matrix(check, "b", b_TK);
  const int64_t num_tokens = a_TN.size(0), num_rows = a_TN.size(1), num_columns = b_TK.size(1);
  check.shape("b", b_TK, {num_tokens, num_columns});
  check_output(check, out_NK, num_rows, num_columns, accumulate);
  check.dtype("out", out_NK, at::kFloat);
  if (on_cuda(check, out_NK, a_TN, b_TK))
    return cuda::matmul(out_NK, a_TN.t(), b_TK, accumulate, std::nullopt);
  cpu::run_products({{num_rows, num_columns, num_tokens, left(a_TN, true), right(b_TK, RightLayout::kRows),
                      output(out_NK, accumulate)}});
}

void sum_rows(const at::Tensor& out_N, const at::Tensor& a_TN, bool accumulate) {
  constexpr int64_t kPieceColumns = 256;
  const Checker check("sum_rows");
  check_matrix(check, "a", a_TN);
  const int64_t num_columns = a_TN.size(1);
  check.shape("out", out_N, {num_columns});
  check.dtype("out", out_N, at::kFloat);
  check.contiguous("out", out_N);
  if (check.on_cuda({&out_N, &a_TN})) return cuda::sum_rows(out_N, a_TN, accumulate);
  float* out = out_N.mutable_data_ptr<float>();
  core::parallel_for((num_columns + kPieceColumns - 1) / kPieceColumns, [&](int64_t piece) {
    const int64_t first = piece * kPieceColumns, width = std::min(kPieceColumns, num_columns - first);
    if (!accumulate) std::fill_n(out + first, width, 0.0f);
    add_rows(out, a_TN, first, width);
  });
}

void grouped_matmul_nt(const at::Tensor& out_PN, const at::Tensor& a_PK, const at::Tensor& w_ENK,
                       const std::vector<int64_t>& offsets) {
  multiply_grouped(Checker("grouped_matmul_nt"), out_PN, a_PK, w_ENK, RightLayout::kColumns, offsets);
}

void grouped_matmul_nn(const at::Tensor& out_PK, const at::Tensor& a_PN, const at::Tensor& w_ENK,
                       const std::vector<int64_t>& offsets) {
  multiply_grouped(Checker("grouped_matmul_nn"), out_PK, a_PN, w_ENK, RightLayout::kRows, offsets);
}

void grouped_matmul_tn(const at::Tensor& out_ENK, const at::Tensor& a_PN, const at::Tensor& b_PK,
                       const std::vector<int64_t>& offsets, bool accumulate) {
  const Checker check("grouped_matmul_tn");
  check_matrix(check, "a", a_PN);
  check_matrix(check, "b", b_PK);
  check.dim("out", out_ENK, 3);
  const int64_t num_experts = out_ENK.size(0), num_rows = a_PN.size(1), num_columns = b_PK.size(1);
  check.shape("b", b_PK, {a_PN.size(0), num_columns});
  check.shape("out", out_ENK, {num_experts, num_rows, num_columns});
  check.dtype("out", out_ENK, at::kFloat);
  check.rows_contiguous("out", out_ENK);
  check.offsets("offsets", offsets, num_experts, a_PN.size(0));
  if (on_cuda(check, out_ENK, a_PN, b_PK))
    return cuda::grouped_matmul_tn(out_ENK, a_PN, b_PK, offsets, accumulate);
  std::vector<Product> products;
  for (int64_t e = 0; e < num_experts; ++e) {
    const int64_t begin = offsets[e], count = offsets[e + 1] - begin;
    if (count == 0 && accumulate) continue;
    products.push_back({num_rows, num_columns, count, left(rows(a_PN, begin, count), true),
                        right(rows(b_PK, begin, count), RightLayout::kRows),
                        output(out_ENK.select(0, e), accumulate)});
  }
  cpu::run_products(products);
}

std::string product_kernel_name(at::ScalarType dtype, at::Device device) {
  ATHANOR_CHECK(dtype == at::kFloat || dtype == at::kBFloat16, "product_kernel_name: {} is no compute dtype",
                c10::toString(dtype));
  if (device.is_cuda()) return fmt::format("cublas-sm{}", compute_capability(device));
  const cpu::TileEngine* const engine = dtype == at::kBFloat16 ? cpu::tile_engine() : nullptr;
  return engine ? engine->name : cpu::gemm_kernel_name();
}

double measure_peak_flops(at::ScalarType dtype, at::Device device) {
  using Clock = std::chrono::steady_clock;
  const int64_t size = device.is_cuda() ? 8192 : 1024;
  constexpr double kMeasuringSeconds = 0.25;
  const double flops = 2.0 * static_cast<double>(size * size * size);
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  // Not constants: a GPU multiplies those faster than real data.
  const at::Tensor a = at::arange(size * size, options.dtype(at::kFloat)).sin_().to(dtype).view({size, size});
  const at::Tensor out = at::empty({size, size}, options);
  const PackedMatrix b = pack_nt(a);
  matmul(out, a, b);
  synchronize(device);
  double best_seconds = 1e30, total_seconds = 0;
  while (total_seconds < kMeasuringSeconds) {
    const auto start = Clock::now();
    matmul(out, a, b);
    synchronize(device);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best_seconds = std::min(best_seconds, seconds);
    total_seconds += seconds;
  }
  return flops / best_seconds;
}

}  // namespace athanor::kernels
