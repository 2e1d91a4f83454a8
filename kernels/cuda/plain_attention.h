// Attention from plain products in fp32, a stretch of queries at a time: the exact path on CUDA devices, and
// what serves head sizes that flash attention does not take. It runs on any device, so the tests try it
// without a GPU.
#pragma once

#include "kernels/ops.h"

namespace athanor::kernels::cuda {

/// Queries at the end of one sequence: query i is at position num_keys - num_queries + i.
struct SequenceInputs {
  at::Tensor q_THQ, k_TGQ, v_TGW;
};
/// o [queries, H, W] in its dtype; lse [queries, H] fp32 or undefined.
void plain_attention(const at::Tensor& o_THW, const at::Tensor& lse_TH, const SequenceInputs& inputs,
                     const AttentionOptions& options);

struct SequenceGradients {
  at::Tensor do_THW, o_THW, lse_TH;   ///< read
  at::Tensor dq_THQ, dk_TGQ, dv_TGW;  ///< written
};
/// As many queries as keys.
void plain_attention_backward(const SequenceGradients& gradients, const SequenceInputs& inputs,
                              const AttentionOptions& options);

}  // namespace athanor::kernels::cuda
