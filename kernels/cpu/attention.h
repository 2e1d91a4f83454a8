// The CPU side of attention. Same meaning as in kernels/ops.h; arguments are already checked. With an engine,
// the products of bf16 tensors run on it (tile_attention.h); fp32 tensors and machines without one compute in
// fp32 vectors.
#pragma once

#include "kernels/cpu/tile_engine.h"
#include "kernels/ops.h"

namespace athanor::kernels::cpu {

void attention(const at::Tensor& o_THW, const at::Tensor& lse_TH, const at::Tensor& q_THQ,
               const at::Tensor& k_TGQ, const at::Tensor& v_TGW, const std::vector<int64_t>& document_offsets,
               const AttentionOptions& options, const TileEngine* engine = tile_engine());

struct AttentionBackwardArgs {
  const at::Tensor &dq_THQ, &dk_TGQ, &dv_TGW;
  const at::Tensor &do_THW, &o_THW, &lse_TH, &q_THQ, &k_TGQ, &v_TGW;
  const std::vector<int64_t>& document_offsets;
  const AttentionOptions& options;
};
void attention_backward(const AttentionBackwardArgs& args, const TileEngine* engine = tile_engine());

void attention_with_cache(const at::Tensor& o_THW, const at::Tensor& q_THQ,
                          const std::vector<at::Tensor>& k_cache, const std::vector<at::Tensor>& v_cache,
                          const std::vector<int64_t>& num_new, const std::vector<int64_t>& length,
                          const AttentionOptions& options, const TileEngine* engine = tile_engine());

}  // namespace athanor::kernels::cpu
