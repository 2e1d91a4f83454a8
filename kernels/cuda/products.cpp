#include "kernels/cuda/products.h"

#include <ATen/ops/_grouped_mm.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <c10/core/GradMode.h>

#include "kernels/checks.h"
#include "kernels/cuda/transfer.h"
#include "kernels/cuda_plugin.h"

namespace athanor::kernels::cuda {
namespace {

// Fewer rows per expert than this, and a launch per expert costs more than the copy that the single kernel
// needs.
constexpr int64_t kRowsPerExpertForLoop = 512;

/// Both operands of one dtype: exact, since bf16 values are fp32 values.
std::pair<at::Tensor, at::Tensor> alike(const at::Tensor& a, const at::Tensor& b) {
  if (a.scalar_type() == b.scalar_type()) return {a, b};
  return {a.to(at::kFloat), b.to(at::kFloat)};
}

/// out = a · b or out += a · b. fp32 outputs of bf16 operands are not rounded in between.
void multiply(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b, bool accumulate) {
  at::Tensor to = out;
  if (a.size(1) == 0) {
    if (!accumulate) to.zero_();
  } else if (out.scalar_type() == a.scalar_type()) {
    accumulate ? at::addmm_out(to, out, a, b) : at::mm_out(to, a, b);
  } else if (is_bf16(a)) {
    accumulate ? at::addmm_out(to, out, a, b, at::kFloat) : at::mm_out(to, a, b, at::kFloat);
  } else {
    to.copy_(at::mm(a, b));
  }
}

/// out = a · b + bias, rounded once.
void multiply_and_add(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b,
                      const at::Tensor& bias) {
  const bool rounds_in_product = is_bf16(out) && is_bf16(a) && is_bf16(bias);
  if (rounds_in_product || (!is_bf16(out) && !is_bf16(a) && a.size(1) > 0)) {
    at::Tensor to = out;
    at::addmm_out(to, bias.to(out.scalar_type()), a, b);
    return;
  }
  const at::Tensor sums = is_bf16(out) ? at::empty(out.sizes(), out.options().dtype(at::kFloat)) : out;
  multiply(sums, a, b, false);
  sums.add_(bias);
  if (is_bf16(out)) out.copy_(sums);
}

int64_t rows_of(const std::vector<int64_t>& offsets, size_t expert) {
  return offsets[expert + 1] - offsets[expert];
}

/// What the single grouped kernel takes.
bool fits_at_once(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b) {
  const auto aligned = [](const at::Tensor& tensor) {
    return reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 16 == 0;
  };
  constexpr int64_t kMultiple = 8;
  const bool is_plain = b.stride(2) == 1 && b.stride(1) == b.size(2);
  const bool is_transposed = b.stride(1) == 1 && b.stride(2) == b.size(1);
  return is_bf16(out) && is_bf16(a) && is_bf16(b) && a.is_contiguous() && aligned(a) && aligned(b) &&
         (is_plain || is_transposed) && b.stride(0) % kMultiple == 0 && a.size(1) % kMultiple == 0 &&
         b.size(2) % kMultiple == 0;
}

}  // namespace

void matmul(const at::Tensor& out_MN, const at::Tensor& a_MK, const at::Tensor& b_KN, bool accumulate,
            const std::optional<at::Tensor>& bias_N) {
  const c10::NoGradGuard without_recording;
  if (out_MN.numel() == 0) return;
  const auto [a, b] = alike(a_MK, b_KN);
  if (bias_N && bias_N->defined() && accumulate) {
    multiply(out_MN, a, b, true);
    out_MN.add_(*bias_N);
  } else if (bias_N && bias_N->defined()) {
    multiply_and_add(out_MN, a, b, *bias_N);
  } else {
    multiply(out_MN, a, b, accumulate);
  }
}

void grouped_matmul_one_by_one(const at::Tensor& out_PN, const at::Tensor& a_PK, const at::Tensor& b_EKN,
                               const std::vector<int64_t>& offsets) {
  const auto [a, b] = alike(a_PK, b_EKN);
  for (size_t e = 0; e + 1 < offsets.size(); ++e)
    if (const int64_t num_rows = rows_of(offsets, e); num_rows > 0)
      multiply(out_PN.narrow(0, offsets[e], num_rows), a.narrow(0, offsets[e], num_rows),
               b.select(0, static_cast<int64_t>(e)), false);
}

void grouped_matmul_at_once(const at::Tensor& out_PN, const at::Tensor& a_PK, const at::Tensor& b_EKN,
                            const std::vector<int64_t>& offsets) {
  const at::Tensor ends = to_device_int32({offsets.begin() + 1, offsets.end()}, a_PK.device());
  out_PN.copy_(at::_grouped_mm(a_PK, b_EKN, ends));
}

void grouped_matmul(const at::Tensor& out_PN, const at::Tensor& a_PK, const at::Tensor& b_EKN,
                    const std::vector<int64_t>& offsets) {
  const c10::NoGradGuard without_recording;
  if (out_PN.numel() == 0) return;
  const bool are_few = a_PK.size(0) < kRowsPerExpertForLoop * b_EKN.size(0);
  if (are_few && fits_at_once(out_PN, a_PK, b_EKN) && compute_capability(a_PK.device()) >= 90)
    grouped_matmul_at_once(out_PN, a_PK, b_EKN, offsets);
  else
    grouped_matmul_one_by_one(out_PN, a_PK, b_EKN, offsets);
}

void grouped_matmul_tn(const at::Tensor& out_ENK, const at::Tensor& a_PN, const at::Tensor& b_PK,
                       const std::vector<int64_t>& offsets, bool accumulate) {
  const c10::NoGradGuard without_recording;
  if (out_ENK.numel() == 0) return;
  const auto [a, b] = alike(a_PN, b_PK);
  for (size_t e = 0; e + 1 < offsets.size(); ++e) {
    const at::Tensor out = out_ENK.select(0, static_cast<int64_t>(e));
    const int64_t num_rows = rows_of(offsets, e);
    if (num_rows > 0)
      multiply(out, a.narrow(0, offsets[e], num_rows).t(), b.narrow(0, offsets[e], num_rows), accumulate);
    else if (!accumulate)
      out.zero_();
  }
}

void sum_rows(const at::Tensor& out_N, const at::Tensor& a_TN, bool accumulate) {
  const c10::NoGradGuard without_recording;
  const int64_t num_partials =
      (a_TN.size(0) + ATHANOR_CUDA_ROWS_PER_PARTIAL - 1) / ATHANOR_CUDA_ROWS_PER_PARTIAL;
  const at::Tensor partial = at::empty({num_partials, a_TN.size(1)}, out_N.options());
  launch_cuda("sum_rows", out_N, cuda_plugin().sum_rows,
              AthanorCudaSumRows{out_N.mutable_data_ptr<float>(), partial.mutable_data_ptr<float>(),
                                 a_TN.const_data_ptr(), a_TN.size(0), a_TN.size(1), a_TN.stride(0),
                                 accumulate, is_bf16(a_TN)});
}

}  // namespace athanor::kernels::cuda
