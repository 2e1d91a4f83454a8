#include "kernels/cuda/fp8_products.h"

#include "core/error.h"
#include "kernels/checks.h"
#include "kernels/cpu/scaled_products.h"
#include "kernels/cpu/tensor_data.h"
#include "kernels/cuda_plugin.h"
#include "kernels/fp8.h"
#include "kernels/ops.h"

namespace athanor::kernels {
namespace {

static_assert(cpu::kScaledDepth == kFp8Tile);

using cuda::Fp8Path;
using cuda::Fp8Product;

void check_operand(const Checker& check, const char* name, const Fp8Matrix& matrix, Fp8Tiles tiles,
                   Fp8Scale scale, size_t num_dims) {
  ATHANOR_CHECK(matrix.tiles == tiles, "{}: {} has other tiles than this product takes", check.operation(),
                name);
  ATHANOR_CHECK(matrix.scale == scale, "{}: {} has another kind of scale than the other operand",
                check.operation(), name);
  ATHANOR_CHECK(matrix.codes.defined() || matrix.exact.defined(),
                "{}: {} holds neither codes nor exact values", check.operation(), name);
  check.dim(name, matrix.codes.defined() ? matrix.codes : matrix.exact, static_cast<int64_t>(num_dims));
  check.dtype("scales", matrix.scales, at::kFloat);
  check.contiguous("scales", matrix.scales);
}

/// The operand with exact values (kept alive here when they had to be made).
Fp8Matrix exact(const Fp8Matrix& matrix) {
  Fp8Matrix out = matrix;
  make_exact(out);
  return out;
}

/// True when everything lies on one CUDA device, false on the CPU.
bool on_cuda(const Checker& check, const at::Tensor& out, const Fp8Matrix& a, const Fp8Matrix& b) {
  return check.on_cuda({&out, &a.codes, &a.exact, &a.scales, &b.codes, &b.exact, &b.scales});
}

/// A single weight as a group of one.
Fp8Matrix as_group(const Fp8Matrix& w) {
  Fp8Matrix group = w;
  if (group.codes.defined()) group.codes = group.codes.unsqueeze(0);
  if (group.exact.defined()) group.exact = group.exact.unsqueeze(0);
  group.scales = group.scales.unsqueeze(0);
  return group;
}

cpu::OutputOperand output(const at::Tensor& out, bool accumulate, const at::Tensor& bias_f32) {
  return {out.mutable_data_ptr(), out.scalar_type() == at::kBFloat16, out.stride(0), accumulate,
          bias_f32.defined() ? bias_f32.const_data_ptr<float>() : nullptr};
}

cpu::LeftOperand left(const at::Tensor& a, bool is_transposed) {
  return {a.const_data_ptr(), true, a.stride(0), is_transposed};
}

cpu::RightOperand right(const at::Tensor& b, cpu::RightLayout layout) {
  return {b.const_data_ptr(), true, layout, b.stride(0)};
}

void check_output(const Checker& check, const at::Tensor& out, int64_t num_rows, int64_t num_columns) {
  check.shape("out", out, {num_rows, num_columns});
  check.compute_dtype("out", out);
  check.rows_contiguous("out", out);
}

/// Rows of every expert times its weight (kForward: transposed), fp32 scales.
void multiply_scaled_groups(Fp8Product product, const at::Tensor& out, const Fp8Matrix& a, const Fp8Matrix& w,
                            const std::vector<int64_t>& offsets, const at::Tensor& bias_f32) {
  const bool forward = product == Fp8Product::kForward;
  const int64_t depth = a.exact.size(1), num_columns = w.exact.size(forward ? 1 : 2);
  const int64_t tiles_down = w.scales.size(1), tiles_across = w.scales.size(2), row_tiles = fp8_tiles(depth);
  const float *row_scales = cpu::data<float>(a.scales), *block_scales = cpu::data<float>(w.scales);
  std::vector<cpu::ScaledProduct> products;
  for (int64_t e = 0; e < w.exact.size(0); ++e) {
    const int64_t begin = offsets[e], count = offsets[e + 1] - begin;
    if (count == 0) continue;
    const float* expert_scales = block_scales + e * tiles_down * tiles_across;
    products.push_back(
        {.product = {count, num_columns, depth, left(a.exact.narrow(0, begin, count), false),
                     right(w.exact.select(0, e),
                           forward ? cpu::RightLayout::kColumns : cpu::RightLayout::kRows),
                     output(out.narrow(0, begin, count), false, bias_f32)},
         .row_scales = {row_scales + begin * row_tiles, 1, row_tiles, 1},
         .column_scales = {expert_scales, kFp8Tile, forward ? tiles_across : 1, forward ? 1 : tiles_across}});
  }
  cpu::run_scaled_products(products);
}

/// The bias in fp32, which the caller keeps alive, or undefined.
at::Tensor f32_bias(const Checker& check, const std::optional<at::Tensor>& bias, int64_t num_columns) {
  if (!bias || !bias->defined()) return {};
  check.shape("bias", *bias, {num_columns});
  return bias->to(at::kFloat).contiguous();
}

/// On a CUDA device the way that cuda/fp8_products.h tells; on the CPU exact values, folded or in tiles.
Fp8Path path_of(bool is_on_cuda, cuda::Fp8ProductFacts facts, const at::Tensor& out) {
  if (is_on_cuda) facts.compute_capability = compute_capability(out.device());
  return cuda::fp8_path(facts);
}

void multiply_groups(const Checker& check, Fp8Product product, const at::Tensor& out, const Fp8Matrix& a,
                     const Fp8Matrix& w, const std::vector<int64_t>& offsets,
                     const std::optional<at::Tensor>& bias = std::nullopt) {
  const bool forward = product == Fp8Product::kForward;
  check_operand(check, "the left operand", a, Fp8Tiles::kRow, w.scale, 2);
  check_operand(check, "the weight", w, Fp8Tiles::kBlock, w.scale, 3);
  const int64_t num_experts = w.sizes()[0], num_rows = a.sizes()[0], depth = w.sizes()[forward ? 2 : 1],
                num_columns = w.sizes()[forward ? 1 : 2];
  check.shape("the left operand", a.codes.defined() ? a.codes : a.exact, {num_rows, depth});
  check_output(check, out, num_rows, num_columns);
  check.offsets("offsets", offsets, num_experts, num_rows);
  const bool is_on_cuda = on_cuda(check, out, a, w);
  const Fp8Path path = path_of(is_on_cuda,
                               {.product = product,
                                .scale = w.scale,
                                .num_experts = num_experts,
                                .num_rows = num_rows,
                                .num_columns = num_columns,
                                .num_summed = depth},
                               out);
  if (path == Fp8Path::kCodes)
    return cuda::codes_matmul_rows(product, out, a, w, offsets, f32_bias(check, bias, num_columns));
  const Fp8Matrix left = exact(a), right = exact(w);
  if (path == Fp8Path::kTiles) {
    const at::Tensor bias_f32 = f32_bias(check, bias, num_columns);
    return is_on_cuda ? cuda::tiles_matmul_rows(product, out, left, right, offsets, bias_f32)
                      : multiply_scaled_groups(product, out, left, right, offsets, bias_f32);
  }
  if (num_experts == 1 && forward) return matmul_nt(out, left.exact, right.exact[0], false, bias);
  if (num_experts == 1) return matmul_nn(out, left.exact, right.exact[0]);
  forward ? grouped_matmul_nt(out, left.exact, right.exact, offsets)
          : grouped_matmul_nn(out, left.exact, right.exact, offsets);
}

/// The weight gradient of every group, fp32 scales.
void multiply_scaled_tokens(const at::Tensor& out, const Fp8Matrix& dy, const Fp8Matrix& x, bool accumulate) {
  const int64_t num_rows = out.size(1), num_columns = out.size(2);
  const float *row_scales = cpu::data<float>(dy.scales), *column_scales = cpu::data<float>(x.scales);
  std::vector<cpu::ScaledProduct> products;
  int64_t tile = 0;
  for (int64_t e = 0; e < out.size(0); ++e) {
    const int64_t begin = x.offsets[e], count = x.offsets[e + 1] - begin;
    if (count == 0 && accumulate) continue;
    products.push_back(
        {.product = {num_rows, num_columns, count, left(dy.exact.narrow(0, begin, count), true),
                     right(x.exact.narrow(0, begin, count), cpu::RightLayout::kRows),
                     output(out.select(0, e), accumulate, {})},
         .row_scales = {row_scales + tile * num_rows, 1, 1, num_rows},
         .column_scales = {column_scales + tile * num_columns, 1, 1, num_columns}});
    tile += fp8_tiles(count);
  }
  cpu::run_scaled_products(products);
}

void multiply_tokens(const Checker& check, const at::Tensor& out, const Fp8Matrix& dy, const Fp8Matrix& x,
                     bool accumulate) {
  check.dim("out", out, 3);
  check_operand(check, "dy", dy, Fp8Tiles::kToken, x.scale, 2);
  check_operand(check, "x", x, Fp8Tiles::kToken, x.scale, 2);
  const int64_t num_tokens = x.sizes()[0];
  check.shape("dy", dy.codes.defined() ? dy.codes : dy.exact, {num_tokens, out.size(1)});
  check.shape("x", x.codes.defined() ? x.codes : x.exact, {num_tokens, out.size(2)});
  check.dtype("out", out, at::kFloat);
  check.rows_contiguous("out", out);
  ATHANOR_CHECK(dy.offsets == x.offsets, "{}: dy and x have tiles in different groups of rows",
                check.operation());
  check.offsets("the groups of x", x.offsets, out.size(0), num_tokens);
  const bool is_on_cuda = on_cuda(check, out, dy, x);
  const Fp8Path path = path_of(is_on_cuda,
                               {.product = Fp8Product::kWeightGradient,
                                .scale = x.scale,
                                .num_experts = out.size(0),
                                .num_rows = out.size(1),
                                .num_columns = out.size(2),
                                .num_summed = num_tokens},
                               out);
  if (path == Fp8Path::kCodes) return cuda::codes_matmul_tokens(out, dy, x, accumulate);
  const Fp8Matrix left = exact(dy), right = exact(x);
  if (path == Fp8Path::kFolded) return grouped_matmul_tn(out, left.exact, right.exact, x.offsets, accumulate);
  is_on_cuda ? cuda::tiles_matmul_tokens(out, left, right, accumulate)
             : multiply_scaled_tokens(out, left, right, accumulate);
}

}  // namespace

void fp8_matmul_nt(const at::Tensor& out_MN, const Fp8Matrix& x_MK, const Fp8Matrix& w_NK,
                   const std::optional<at::Tensor>& bias_N) {
  multiply_groups(Checker("fp8_matmul_nt"), Fp8Product::kForward, out_MN, x_MK, as_group(w_NK),
                  {0, x_MK.sizes()[0]}, bias_N);
}

void fp8_matmul_nn(const at::Tensor& out_MK, const Fp8Matrix& dy_MN, const Fp8Matrix& w_NK) {
  multiply_groups(Checker("fp8_matmul_nn"), Fp8Product::kInputGradient, out_MK, dy_MN, as_group(w_NK),
                  {0, dy_MN.sizes()[0]});
}

void fp8_matmul_tn(const at::Tensor& out_NK, const Fp8Matrix& dy_TN, const Fp8Matrix& x_TK, bool accumulate) {
  const Checker check("fp8_matmul_tn");
  check.dim("out", out_NK, 2);
  multiply_tokens(check, out_NK.unsqueeze(0), dy_TN, x_TK, accumulate);
}

void fp8_grouped_matmul_nt(const at::Tensor& out_PN, const Fp8Matrix& x_PK, const Fp8Matrix& w_ENK,
                           const std::vector<int64_t>& offsets) {
  multiply_groups(Checker("fp8_grouped_matmul_nt"), Fp8Product::kForward, out_PN, x_PK, w_ENK, offsets);
}

void fp8_grouped_matmul_nn(const at::Tensor& out_PK, const Fp8Matrix& dy_PN, const Fp8Matrix& w_ENK,
                           const std::vector<int64_t>& offsets) {
  multiply_groups(Checker("fp8_grouped_matmul_nn"), Fp8Product::kInputGradient, out_PK, dy_PN, w_ENK,
                  offsets);
}

void fp8_grouped_matmul_tn(const at::Tensor& out_ENK, const Fp8Matrix& dy_PN, const Fp8Matrix& x_PK,
                           bool accumulate) {
  multiply_tokens(Checker("fp8_grouped_matmul_tn"), out_ENK, dy_PN, x_PK, accumulate);
}

}  // namespace athanor::kernels
