// The CUDA side of the products: cuBLAS and CUTLASS through LibTorch. Same meaning as in kernels/ops.h;
// arguments are already checked.
#pragma once

#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

namespace athanor::kernels::cuda {

/// out = a · b (+ bias), or += in fp32. b [K, N] may be a transposed view.
void matmul(const at::Tensor& out_MN, const at::Tensor& a_MK, const at::Tensor& b_KN, bool accumulate,
            const std::optional<at::Tensor>& bias_N);

/// Rows [offsets[e], offsets[e+1]) of out are those of a times b[e]; b [E, K, N] may be a transposed view.
void grouped_matmul(const at::Tensor& out_PN, const at::Tensor& a_PK, const at::Tensor& b_EKN,
                    const std::vector<int64_t>& offsets);
/// The two ways in which grouped_matmul may go, for benchmarks: one product per expert, or one kernel for all
/// (bf16, sizes that are multiples of 8).
void grouped_matmul_one_by_one(const at::Tensor& out_PN, const at::Tensor& a_PK, const at::Tensor& b_EKN,
                               const std::vector<int64_t>& offsets);
void grouped_matmul_at_once(const at::Tensor& out_PN, const at::Tensor& a_PK, const at::Tensor& b_EKN,
                            const std::vector<int64_t>& offsets);
void grouped_matmul_tn(const at::Tensor& out_ENK, const at::Tensor& a_PN, const at::Tensor& b_PK,
                       const std::vector<int64_t>& offsets, bool accumulate);

void sum_rows(const at::Tensor& out_N, const at::Tensor& a_TN, bool accumulate);

}  // namespace athanor::kernels::cuda
