// The CUDA side of attention: LibTorch's flash attention for bf16, plain products in fp32 for exact runs.
// Same meaning as in kernels/ops.h; arguments are already checked.
#pragma once

#include "kernels/ops.h"

namespace athanor::kernels::cuda {

void attention(const at::Tensor& o_THW, const at::Tensor& lse_TH, const at::Tensor& q_THQ,
               const at::Tensor& k_TGQ, const at::Tensor& v_TGW, const std::vector<int64_t>& document_offsets,
               const AttentionOptions& options);

/// What backward reads and writes.
struct AttentionGradients {
  const at::Tensor &dq_THQ, &dk_TGQ, &dv_TGW;
  const at::Tensor &do_THW, &o_THW, &lse_TH, &q_THQ, &k_TGQ, &v_TGW;
};
void attention_backward(const AttentionGradients& args, const std::vector<int64_t>& document_offsets,
                        const AttentionOptions& options);

void attention_with_cache(const at::Tensor& o_THW, const at::Tensor& q_THQ,
                          const std::vector<at::Tensor>& k_cache, const std::vector<at::Tensor>& v_cache,
                          const std::vector<int64_t>& num_new, const std::vector<int64_t>& length,
                          const AttentionOptions& options);

}  // namespace athanor::kernels::cuda
