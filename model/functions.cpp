// Shape suffixes as in kernels/ops.h: T tokens, D hidden, E experts, A experts per token, P permuted rows, H
// heads, G key/value heads, N unrotated and R rotated part of a query or key head, W value head.
#include "model/functions.h"

#include <algorithm>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <c10/core/GradMode.h>

#include "core/error.h"
#include "model/add_gradient.h"
#include "model/autograd.h"
#include "model/fp8_linear.h"
#include "model/grouped_gradient.h"

namespace athanor::model {
namespace {

// y = x · weightᵀ (+ bias), through the packed weight when there is one.
void multiply(const at::Tensor& y_TN, const at::Tensor& x_TK, const Parameter& weight,
              const Parameter* bias) {
  const auto bias_N = bias ? std::optional(bias->value) : std::nullopt;
  if (weight.packed.empty()) {
    kernels::matmul_nt(y_TN, x_TK, weight.value, false, bias_N);
  } else {
    kernels::matmul(y_TN, x_TK, weight.packed.front(), false, bias_N);
  }
}

// Row r of expert e: y = x · weight[e]ᵀ.
void multiply_groups(const at::Tensor& y_PN, const at::Tensor& x_PK, const Parameter& weight,
                     const std::vector<int64_t>& offsets) {
  if (weight.packed.empty()) {
    kernels::grouped_matmul_nt(y_PN, x_PK, weight.value, offsets);
    return;
  }
  for (size_t e = 0; e < weight.packed.size(); ++e)
    if (const int64_t rows = offsets[e + 1] - offsets[e])
      kernels::matmul(y_PN.narrow(0, offsets[e], rows), x_PK.narrow(0, offsets[e], rows), weight.packed[e]);
}

at::Tensor like(const at::Tensor& x, at::IntArrayRef shape) {
  return at::empty(shape, x.options().requires_grad(false));
}

at::Tensor fp32(const at::Tensor& x, at::IntArrayRef shape) {
  return at::empty(shape, x.options().requires_grad(false).dtype(at::kFloat));
}

}  // namespace

at::Tensor embedding(const at::Tensor& anchor, const at::Tensor& ids_T, Parameter& table,
                     const kernels::VocabularyRows& rows) {
  at::Tensor y_TD = like(table.value, {ids_T.size(0), table.value.size(1)});
  kernels::embedding(y_TD, ids_T, table.value, rows);
  record({y_TD}, {anchor}, [ids_T, table = &table, rows](const Tensors& gradients) -> Tensors {
    add_gradient(*table, [&](const at::Tensor& dw, bool accumulate) {
      if (!accumulate) const_cast<at::Tensor&>(dw).zero_();
      kernels::embedding_backward(dw, gradients[0], ids_T, rows);
    });
    return {at::Tensor()};
  });
  return y_TD;
}

at::Tensor linear(const at::Tensor& x_TK, Parameter& weight, Parameter* bias, Recall recall) {
  if (weight.is_quantised()) return fp8_linear(x_TK, weight, bias, std::move(recall));
  if (!recall) recall = [x_TK = x_TK.detach()] { return x_TK; };
  at::Tensor y_TN = like(x_TK, {x_TK.size(0), weight.value.size(0)});
  multiply(y_TN, x_TK, weight, bias);
  record({y_TN}, {x_TK}, [recall, weight = &weight, bias](const Tensors& gradients) -> Tensors {
    const at::Tensor& dy_TN = gradients[0];
    at::Tensor dx_TK = like(dy_TN, {dy_TN.size(0), weight->value.size(1)});
    kernels::matmul_nn(dx_TK, dy_TN, weight->value);
    add_gradient(*weight, [&](const at::Tensor& dw, bool accumulate) {
      kernels::matmul_tn(dw, dy_TN, recall(), accumulate);
    });
    if (bias)
      add_gradient(*bias,
                   [&](const at::Tensor& db, bool accumulate) { kernels::sum_rows(db, dy_TN, accumulate); });
    return {dx_TK};
  });
  return y_TN;
}

at::Tensor router_logits(const at::Tensor& x_TK, Parameter& weight) {
  at::Tensor logits_TE = fp32(x_TK, {x_TK.size(0), weight.value.size(0)});
  multiply(logits_TE, x_TK, weight, nullptr);
  record({logits_TE}, {x_TK}, [x_TK = x_TK.detach(), weight = &weight](const Tensors& gradients) -> Tensors {
    const at::Tensor& dlogits_TE = gradients[0];
    at::Tensor dx_TK = fp32(x_TK, x_TK.sizes());
    kernels::matmul_nn(dx_TK, dlogits_TE, weight->value.to(at::kFloat));
    add_gradient(*weight, [&](const at::Tensor& dw, bool accumulate) {
      kernels::matmul_tn(dw, dlogits_TE, x_TK.to(at::kFloat), accumulate);
    });
    return {dx_TK.to(x_TK.scalar_type())};
  });
  return logits_TE;
}

at::Tensor rms_norm(const at::Tensor& x_TD, Parameter& weight, double eps) {
  at::Tensor y_TD = like(x_TD, x_TD.sizes());
  at::Tensor rstd_T = fp32(x_TD, {x_TD.size(0)});
  kernels::rms_norm(y_TD, rstd_T, x_TD, weight.value, eps);
  record({y_TD}, {x_TD},
         [x_TD = x_TD.detach(), rstd_T, weight = &weight](const Tensors& gradients) -> Tensors {
           at::Tensor dx_TD = like(x_TD, x_TD.sizes());
           kernels::rms_norm_backward(dx_TD, weight->gradient, gradients[0], x_TD, weight->value, rstd_T,
                                      weight->has_gradient);
           weight->has_gradient = weight->gradient.defined();
           return {dx_TD};
         });
  return y_TD;
}

at::Tensor swiglu(const at::Tensor& gate_up_T2F) {
  at::Tensor h_TF = like(gate_up_T2F, {gate_up_T2F.size(0), gate_up_T2F.size(1) / 2});
  kernels::swiglu(h_TF, gate_up_T2F);
  record({h_TF}, {gate_up_T2F}, [gate_up_T2F = gate_up_T2F.detach()](const Tensors& gradients) -> Tensors {
    at::Tensor dgate_up = at::empty_like(gate_up_T2F);
    kernels::swiglu_backward(dgate_up, gradients[0], gate_up_T2F);
    return {dgate_up};
  });
  return h_TF;
}

Routing route(const at::Tensor& logits_TE, const at::Tensor& bias_E, const kernels::RouterOptions& options) {
  const int64_t num_tokens = logits_TE.size(0);
  Routing routing{at::empty({num_tokens, options.num_experts_per_tok},
                            logits_TE.options().requires_grad(false).dtype(at::kInt)),
                  like(logits_TE, {num_tokens, options.num_experts_per_tok}),
                  like(logits_TE, logits_TE.sizes())};
  kernels::route(routing.expert_ids_TA, routing.weights_TA, routing.scores_TE, logits_TE, bias_E, options);
  record({routing.weights_TA, routing.scores_TE}, {logits_TE},
         [ids_TA = routing.expert_ids_TA, scores_TE = routing.scores_TE.detach(),
          options](const Tensors& gradients) -> Tensors {
           at::Tensor dlogits_TE = at::empty_like(scores_TE);
           const at::Tensor dweights_TA =
               gradients[0].defined() ? gradients[0]
                                      : at::zeros({ids_TA.size(0), ids_TA.size(1)}, scores_TE.options());
           kernels::route_backward(dlogits_TE, dweights_TA, gradients[1], ids_TA, scores_TE, options);
           return {dlogits_TE};
         });
  return routing;
}

at::Tensor permute(const at::Tensor& x_TD, const kernels::Permutation& permutation) {
  at::Tensor x_PD = like(x_TD, {permutation.token_of_row.size(0), x_TD.size(1)});
  kernels::permute(x_PD, x_TD, permutation);
  record({x_PD}, {x_TD}, [num_tokens = x_TD.size(0), permutation](const Tensors& gradients) -> Tensors {
    at::Tensor dx_TD = like(gradients[0], {num_tokens, gradients[0].size(1)});
    kernels::permute_backward(dx_TD, gradients[0], permutation);
    return {dx_TD};
  });
  return x_PD;
}

at::Tensor grouped_linear(const at::Tensor& x_PK, Parameter& weight, const RowGroups& groups) {
  if (weight.is_quantised()) return fp8_grouped_linear(x_PK, weight, groups);
  at::Tensor y_PN = like(x_PK, {x_PK.size(0), weight.value.size(1)});
  multiply_groups(y_PN, x_PK, weight, groups.offsets);
  record(
      {y_PN}, {x_PK}, [x_PK = x_PK.detach(), weight = &weight, groups](const Tensors& gradients) -> Tensors {
        at::Tensor dx_PK = at::empty_like(x_PK);
        kernels::grouped_matmul_nn(dx_PK, gradients[0], weight->value, groups.offsets);
        add_grouped_gradient(*weight, groups,
                             [&](const at::Tensor& dw, int64_t begin, int64_t count,
                                 const std::vector<int64_t>& offsets, bool accumulate) {
                               kernels::grouped_matmul_tn(dw, gradients[0].narrow(0, begin, count),
                                                          x_PK.narrow(0, begin, count), offsets, accumulate);
                             });
        return {dx_PK};
      });
  return y_PN;
}

at::Tensor combine(const at::Tensor& y_PD, const at::Tensor& weights_TA,
                   const kernels::Permutation& permutation) {
  at::Tensor y_TD = like(y_PD, {weights_TA.size(0), y_PD.size(1)});
  kernels::combine(y_TD, y_PD, weights_TA, permutation);
  record({y_TD}, {y_PD, weights_TA},
         [y_PD = y_PD.detach(), weights_TA = weights_TA.detach(),
          permutation](const Tensors& gradients) -> Tensors {
           at::Tensor dy_PD = at::empty_like(y_PD), dweights_TA = at::empty_like(weights_TA);
           kernels::combine_backward(dy_PD, dweights_TA, gradients[0], y_PD, weights_TA, permutation);
           return {dy_PD, dweights_TA};
         });
  return y_TD;
}

namespace {

// Appends the new keys and values of every sequence to the layer's cache and attends to all of them.
at::Tensor attend_to_cache(const at::Tensor& q_THQ, const at::Tensor& k_TGQ, const at::Tensor& v_TGW,
                           const AttentionShape& shape, const MicroBatch& batch, int64_t layer_idx) {
  LayerCache& layer = batch.cache->layers.at(layer_idx);
  std::vector<int64_t> length;
  int64_t row = 0;
  for (size_t i = 0; i < batch.num_new.size(); ++i) {
    const int64_t start = batch.cache->length[i], count = batch.num_new[i];
    layer.k[i].narrow(0, start, count).copy_(k_TGQ.narrow(0, row, count));
    layer.v[i].narrow(0, start, count).copy_(v_TGW.narrow(0, row, count));
    length.push_back(start + count);
    row += count;
  }
  at::Tensor o_THW = like(q_THQ, {q_THQ.size(0), shape.num_heads, shape.value_dim});
  kernels::attention_with_cache(o_THW, q_THQ, layer.k, layer.v, batch.num_new, length, shape.options);
  return o_THW;
}

// Everything a backward pass of attention needs.
struct AttentionState {
  at::Tensor q_THQ, k_TGQ, v_TGW, o_THW, lse_TH;
  std::vector<int64_t> document_offsets;
  kernels::AttentionOptions options;

  void backward(const at::Tensor& dq, const at::Tensor& dk, const at::Tensor& dv,
                const at::Tensor& do_T) const {
    kernels::attention_backward(dq, dk, dv, do_T.view(o_THW.sizes()), o_THW, lse_TH, q_THQ, k_TGQ, v_TGW,
                                document_offsets, options);
  }
};

AttentionState attend(const at::Tensor& q_THQ, const at::Tensor& k_TGQ, const at::Tensor& v_TGW,
                      const AttentionShape& shape, const MicroBatch& batch) {
  AttentionState state{q_THQ,
                       k_TGQ,
                       v_TGW,
                       like(q_THQ, {q_THQ.size(0), shape.num_heads, shape.value_dim}),
                       fp32(q_THQ, {q_THQ.size(0), shape.num_heads}),
                       batch.document_offsets,
                       shape.options};
  kernels::attention(state.o_THW, state.lse_TH, q_THQ, k_TGQ, v_TGW, batch.document_offsets, shape.options);
  return state;
}

at::Tensor flattened(const at::Tensor& o_THW) {
  return o_THW.view({o_THW.size(0), o_THW.size(1) * o_THW.size(2)});
}

// Sum over heads of [T, H, R] in fp32, heads ascending: every head shares the rotated part of the key.
at::Tensor sum_heads(const at::Tensor& x_THR) {
  at::Tensor sum_TR = x_THR.select(1, 0).to(at::kFloat, /*non_blocking=*/false, /*copy=*/true);
  for (int64_t head = 1; head < x_THR.size(1); ++head) sum_TR.add_(x_THR.select(1, head));
  return sum_TR.to(x_THR.scalar_type());
}

}  // namespace

at::Tensor latent_attention(const at::Tensor& q_T, const at::Tensor& kv_T, const at::Tensor& k_rope_TR,
                            const AttentionShape& shape, const PassContext& pass, int64_t layer_idx) {
  const MicroBatch& batch = pass.batch;
  const int64_t num_tokens = q_T.size(0), heads = shape.num_heads;
  const int64_t nope = shape.query_dim - shape.rotary_dim, rotary = shape.rotary_dim;
  const at::Tensor q_THQ = q_T.detach().view({num_tokens, heads, shape.query_dim});
  const at::Tensor kv_THX = kv_T.detach().view({num_tokens, heads, nope + shape.value_dim});
  const at::Tensor v_THW = kv_THX.narrow(2, nope, shape.value_dim);

  // Turns the queries in place and puts the keys together.
  const auto make_keys = [q_THQ, kv_THX, k_rope_TR = k_rope_TR.detach(), tables = batch.rotary,
                          is_interleaved = shape.interleaved, num_tokens, heads, nope, rotary] {
    kernels::rotary(q_THQ, tables.cos_TR, tables.sin_TR, {.column = nope, .interleaved = is_interleaved});
    const at::Tensor k_rotated_T1R = k_rope_TR.clone().view({num_tokens, 1, rotary});
    kernels::rotary(k_rotated_T1R, tables.cos_TR, tables.sin_TR, {.interleaved = is_interleaved});
    at::Tensor k_THQ = like(q_THQ, q_THQ.sizes());
    k_THQ.narrow(2, 0, nope).copy_(kv_THX.narrow(2, 0, nope));
    k_THQ.narrow(2, nope, rotary).copy_(k_rotated_T1R.expand({num_tokens, heads, rotary}));
    return k_THQ;
  };
  const at::Tensor k_THQ = remade(pass.remake, make_keys(), make_keys);

  if (batch.cache) return flattened(attend_to_cache(q_THQ, k_THQ, v_THW, shape, batch, layer_idx));

  const AttentionState state = attend(q_THQ, k_THQ, v_THW, shape, batch);
  at::Tensor output = flattened(state.o_THW).alias();
  record({output}, {q_T, kv_T, k_rope_TR},
         [state, tables = batch.rotary, shape, nope, rotary](const Tensors& gradients) -> Tensors {
           const at::Tensor dq = at::empty_like(state.q_THQ), dk = at::empty_like(state.k_TGQ);
           const int64_t tokens = dq.size(0);
           const at::Tensor dkv = like(dq, {tokens, dq.size(1), nope + shape.value_dim});
           state.backward(dq, dk, dkv.narrow(2, nope, shape.value_dim), gradients[0]);
           dkv.narrow(2, 0, nope).copy_(dk.narrow(2, 0, nope));
           const at::Tensor dk_rope = sum_heads(dk.narrow(2, nope, rotary)).view({tokens, 1, rotary});
           kernels::rotary(dq, tables.cos_TR, tables.sin_TR,
                           {.column = nope, .interleaved = shape.interleaved, .inverse = true});
           kernels::rotary(dk_rope, tables.cos_TR, tables.sin_TR,
                           {.interleaved = shape.interleaved, .inverse = true});
           return {dq.view({tokens, -1}), dkv.view({tokens, -1}), dk_rope.view({tokens, rotary})};
         });
  return output;
}

namespace {

// Normalises every head of a strided [T, H, Dh] view; keeps what backward needs.
struct HeadNorm {
  at::Tensor x_RD, rstd_R;
  Parameter* weight;

  static std::pair<HeadNorm, at::Tensor> forward(const at::Tensor& x_THD, Parameter& weight, double eps) {
    const int64_t rows = x_THD.size(0) * x_THD.size(1), dim = x_THD.size(2);
    HeadNorm norm{x_THD.contiguous().view({rows, dim}), fp32(x_THD, {rows}), &weight};
    at::Tensor y_RD = like(x_THD, {rows, dim});
    kernels::rms_norm(y_RD, norm.rstd_R, norm.x_RD, weight.value, eps);
    return {norm, y_RD.view(x_THD.sizes())};
  }
  // Replaces the gradient of the normalised heads, a strided view, by that of the heads.
  void backward(const at::Tensor& d_THD) const {
    const at::Tensor dy_RD = d_THD.contiguous().view(x_RD.sizes());
    const at::Tensor dx_RD = at::empty_like(x_RD);
    kernels::rms_norm_backward(dx_RD, weight->gradient, dy_RD, x_RD, weight->value, rstd_R,
                               weight->has_gradient);
    weight->has_gradient = weight->gradient.defined();
    d_THD.copy_(dx_RD.view(d_THD.sizes()));
  }
};

}  // namespace

at::Tensor grouped_query_attention(const at::Tensor& qkv_T, const AttentionShape& shape, const QkNorm& norm,
                                   const MicroBatch& batch, int64_t layer_idx) {
  const int64_t num_tokens = qkv_T.size(0), heads = shape.num_heads, kv_heads = shape.num_kv_heads;
  const at::Tensor qkv = qkv_T.detach().view({num_tokens, heads + 2 * kv_heads, shape.query_dim});
  at::Tensor q_THD = qkv.narrow(1, 0, heads), k_TGD = qkv.narrow(1, heads, kv_heads);
  const at::Tensor v_TGD = qkv.narrow(1, heads + kv_heads, kv_heads);
  std::optional<std::pair<HeadNorm, HeadNorm>> norms;
  if (norm.q) {
    auto [q_norm, q_normed] = HeadNorm::forward(q_THD, *norm.q, norm.eps);
    auto [k_norm, k_normed] = HeadNorm::forward(k_TGD, *norm.k, norm.eps);
    q_THD = q_normed;
    k_TGD = k_normed;
    norms.emplace(q_norm, k_norm);
  }
  const kernels::RotaryOptions turn{.interleaved = shape.interleaved};
  kernels::rotary(q_THD, batch.rotary.cos_TR, batch.rotary.sin_TR, turn);
  kernels::rotary(k_TGD, batch.rotary.cos_TR, batch.rotary.sin_TR, turn);

  if (batch.cache) return flattened(attend_to_cache(q_THD, k_TGD, v_TGD, shape, batch, layer_idx));

  const AttentionState state = attend(q_THD, k_TGD, v_TGD, shape, batch);
  at::Tensor output = flattened(state.o_THW).alias();
  record({output}, {qkv_T},
         [state, norms, tables = batch.rotary, shape](const Tensors& gradients) -> Tensors {
           const int64_t tokens = state.q_THQ.size(0);
           const at::Tensor dqkv =
               like(state.q_THQ, {tokens, shape.num_heads + 2 * shape.num_kv_heads, shape.query_dim});
           const at::Tensor dq = dqkv.narrow(1, 0, shape.num_heads),
                            dk = dqkv.narrow(1, shape.num_heads, shape.num_kv_heads);
           state.backward(dq, dk, dqkv.narrow(1, shape.num_heads + shape.num_kv_heads, shape.num_kv_heads),
                          gradients[0]);
           const kernels::RotaryOptions back{.interleaved = shape.interleaved, .inverse = true};
           kernels::rotary(dq, tables.cos_TR, tables.sin_TR, back);
           kernels::rotary(dk, tables.cos_TR, tables.sin_TR, back);
           if (norms) {
             norms->first.backward(dq);
             norms->second.backward(dk);
           }
           return {dqkv.view({tokens, -1})};
         });
  return output;
}

at::Tensor vocabulary_loss(const at::Tensor& x_TD, Parameter& weight, const at::Tensor& labels_T,
                           double scale, const at::Tensor& token_loss_T,
                           const kernels::VocabularyPart& part) {
  const at::Tensor scale_T = at::full({x_TD.size(0)}, scale, token_loss_T.options());
  at::Tensor total = at::zeros({}, token_loss_T.options());
  if (!c10::GradMode::is_enabled() || !x_TD.requires_grad()) {
    kernels::linear_cross_entropy(token_loss_T, at::Tensor(), x_TD, weight.value, labels_T, part);
    return total;
  }
  const at::Tensor dx_TD = at::empty_like(x_TD.detach());
  kernels::linear_cross_entropy_with_gradient(token_loss_T, dx_TD, weight.gradient, x_TD, weight.value,
                                              labels_T, scale_T, weight.has_gradient, part);
  weight.has_gradient = weight.gradient.defined();
  record({total}, {x_TD}, [dx_TD](const Tensors&) -> Tensors { return {dx_TD}; });
  return total;
}

}  // namespace athanor::model
