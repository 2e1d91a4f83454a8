// Plain, slow twins of the operations in kernels/ops.h (products, norm, activation, rotary, flat buffers):
// the oracle of the tests. Loops over contiguous copies, on one thread; results are new tensors. Products are
// the literal chains that the contract promises, everything else is computed in fp64.
#pragma once

#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "kernels/ops.h"

namespace athanor::kernels::reference {

/// fp32 [M, N]: out = start (or 0), then out = fma(a[m, k], b[k, n], out) for k ascending.
at::Tensor product(const at::Tensor& a_MK, const at::Tensor& b_KN,
                   const std::optional<at::Tensor>& start = {});

/// The sum over rows, ascending, in fp32.
at::Tensor sum_rows(const at::Tensor& a_TN, const std::optional<at::Tensor>& start = {});

/// fp64; the normalised value is rounded to x's dtype before the product with w.
at::Tensor rms_norm(const at::Tensor& x_TD, const at::Tensor& w_D, double eps);
struct RmsNormGradients {
  at::Tensor dx_TD, dw_D;
};
RmsNormGradients rms_norm_backward(const at::Tensor& dy_TD, const at::Tensor& x_TD, const at::Tensor& w_D,
                                   double eps);

at::Tensor swiglu(const at::Tensor& gate_up_T2F);
at::Tensor swiglu_backward(const at::Tensor& dh_TF, const at::Tensor& gate_up_T2F);

at::Tensor rotary(const at::Tensor& x_THD, const at::Tensor& cos_TR, const at::Tensor& sin_TR,
                  const RotaryOptions& options);

/// fp32, the tree of ops.h by recursion.
at::Tensor ordered_sum(const std::vector<at::Tensor>& parts);

/// fp64 sums of squares of chunks.
at::Tensor chunk_square_sums(const at::Tensor& flat);

/// One update of fp64 state in place.
struct AdamWState {
  at::Tensor master, exp_avg, exp_avg_sq;
};
void adamw(const AdamWState& state, const at::Tensor& gradient, const std::vector<ElementRange>& decay,
           const AdamWOptions& options);

}  // namespace athanor::kernels::reference
