// Plain attention in fp64 from ATen operations, one document and head at a time: the oracle of the tests.
// Differentiable.
#pragma once

#include "kernels/ops.h"

namespace athanor::kernels::reference {

struct AttentionResult {
  at::Tensor o_THW, lse_TH;  ///< fp64
};
/// Any floating dtype in; as `attention` in kernels/ops.h.
AttentionResult attention(const at::Tensor& q_THQ, const at::Tensor& k_TGQ, const at::Tensor& v_TGW,
                          const std::vector<int64_t>& document_offsets, const AttentionOptions& options);

}  // namespace athanor::kernels::reference
