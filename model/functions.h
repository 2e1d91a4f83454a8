// The fused operations of kernels/ops.h as differentiable functions of activations.
//
// Gradients of activations flow through autograd; gradients of parameters are written (or added) straight
// into Parameter::gradient, in fp32, by the weight-gradient product itself. A parameter whose gradient is
// undefined is frozen.
#pragma once

#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "kernels/ops.h"
#include "model/batch.h"
#include "model/parameter.h"
#include "model/row_groups.h"

namespace athanor::model {

/// ids [T] -> [T, D]. `anchor` requires a gradient, so that backward reaches the table, of which `rows` are
/// given; other ids yield zeros.
at::Tensor embedding(const at::Tensor& anchor, const at::Tensor& ids_T, Parameter& table,
                     const kernels::VocabularyRows& rows = {});

/// Gives the input of a linear layer once more, when the gradient of its weight is computed.
using Recall = std::function<at::Tensor()>;

/// x [T, K] · weight [N, K]ᵀ (+ bias [N]). x is kept for backward, unless there is another way to `recall`
/// it.
at::Tensor linear(const at::Tensor& x_TK, Parameter& weight, Parameter* bias = nullptr, Recall recall = {});

/// x [T, K] (compute dtype) · weight [E, K]ᵀ in fp32: the router's logits.
at::Tensor router_logits(const at::Tensor& x_TK, Parameter& weight);

at::Tensor rms_norm(const at::Tensor& x_TD, Parameter& weight, double eps);

/// silu(gate) * up of [T, 2F].
at::Tensor swiglu(const at::Tensor& gate_up_T2F);

struct Routing {
  at::Tensor expert_ids_TA;  ///< int32, ascending per token
  at::Tensor weights_TA;     ///< fp32, differentiable
  at::Tensor scores_TE;      ///< fp32, differentiable
};
Routing route(const at::Tensor& logits_TE, const at::Tensor& bias_E, const kernels::RouterOptions& options);

/// Rows of x sorted by expert.
at::Tensor permute(const at::Tensor& x_TD, const kernels::Permutation& permutation);
/// Every row of group g times weight[g] ([G, N, K], so x [P, K] -> [P, N]). The weight gradient of a micro
/// batch is computed once.
at::Tensor grouped_linear(const at::Tensor& x_PK, Parameter& weight, const RowGroups& groups);
/// Weighted sum of each token's rows.
at::Tensor combine(const at::Tensor& y_PD, const at::Tensor& weights_TA,
                   const kernels::Permutation& permutation);

struct AttentionShape {
  int64_t num_heads, num_kv_heads;
  int64_t query_dim, value_dim;
  int64_t rotary_dim;
  bool interleaved = false;
  kernels::AttentionOptions options;
};

/// Attention of DeepSeek-V3 after its projections: q [T, H*(N+R)] (taken over: rotated in place), kv [T,
/// H*(N+W)] holding each head's key part and value, k_rope [T, R] shared by all heads -> [T, H*W]. When q and
/// kv are remade, so are the keys.
at::Tensor latent_attention(const at::Tensor& q_T, const at::Tensor& kv_T, const at::Tensor& k_rope_TR,
                            const AttentionShape& shape, const PassContext& pass, int64_t layer_idx);

/// Grouped-query attention: qkv [T, (H + 2G)*Dh] (taken over) -> [T, H*Dh]. With norms, every query and key
/// head passes an RMS norm before it is rotated.
struct QkNorm {
  Parameter* q = nullptr;
  Parameter* k = nullptr;
  double eps = 0;
};
at::Tensor grouped_query_attention(const at::Tensor& qkv_T, const AttentionShape& shape, const QkNorm& norm,
                                   const MicroBatch& batch, int64_t layer_idx);

/// Loss of x [T, D] against labels through the vocabulary matrix; `token_loss` [T] fp32 receives each
/// token's. Returns a scalar whose gradient by x, that of scale * sum(token_loss), is already known:
/// backpropagate it with 1. (Its value is 0: nobody needs the sum here, and the caller adds token losses in
/// an order of its own.) With a part of the vocabulary, the gradient by x is what its rows contribute.
at::Tensor vocabulary_loss(const at::Tensor& x_TD, Parameter& weight, const at::Tensor& labels_T,
                           double scale, const at::Tensor& token_loss_T,
                           const kernels::VocabularyPart& part = {});

}  // namespace athanor::model
