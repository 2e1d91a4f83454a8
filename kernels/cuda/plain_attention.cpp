// The query heads of one key/value head lie behind each other as rows: [G, heads per group * queries, size],
// so that each step is one batched product over the G key/value heads.
#include "kernels/cuda/plain_attention.h"

#include <limits>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/zeros.h>

namespace athanor::kernels::cuda {
namespace {

constexpr int64_t kMaxScores = int64_t{1} << 27;  // 512 MiB of fp32 scores at a time

/// Some neighbouring queries and the keys that they may see.
struct Stretch {
  int64_t first_query, num_queries, first_key, num_keys;
};

std::vector<Stretch> stretches(int64_t num_queries, int64_t num_keys, int64_t num_heads,
                               int64_t sliding_window) {
  const int64_t length =
      std::max<int64_t>(1, std::min(num_queries, kMaxScores / std::max<int64_t>(1, num_heads * num_keys)));
  const int64_t first_position = num_keys - num_queries;
  std::vector<Stretch> result;
  for (int64_t first = 0; first < num_queries; first += length) {
    const int64_t count = std::min(length, num_queries - first);
    const int64_t position = first_position + first;
    const int64_t first_key = sliding_window > 0 ? std::max<int64_t>(0, position - sliding_window + 1) : 0;
    result.push_back({first, count, first_key, position + count - first_key});
  }
  return result;
}

/// [tokens, heads, size] -> fp32 [G, heads / G * tokens, size].
at::Tensor by_group(const at::Tensor& x_THS, int64_t num_groups) {
  const int64_t num_tokens = x_THS.size(0), heads_per_group = x_THS.size(1) / num_groups;
  return x_THS.to(at::kFloat)
      .view({num_tokens, num_groups, heads_per_group, x_THS.size(2)})
      .permute({1, 2, 0, 3})
      .reshape({num_groups, heads_per_group * num_tokens, x_THS.size(2)});
}

/// The way back, to [tokens, heads, size].
at::Tensor by_token(const at::Tensor& x_GRS, int64_t num_tokens) {
  const int64_t num_groups = x_GRS.size(0), heads_per_group = x_GRS.size(1) / num_tokens;
  return x_GRS.view({num_groups, heads_per_group, num_tokens, x_GRS.size(2)})
      .permute({2, 0, 1, 3})
      .reshape({num_tokens, num_groups * heads_per_group, x_GRS.size(2)});
}

/// [queries, keys]: true where a query must not look.
at::Tensor hidden_keys(const Stretch& at, int64_t first_position, int64_t sliding_window, at::Device device) {
  const auto whole = at::TensorOptions().dtype(at::kLong).device(device);
  const int64_t first = first_position + at.first_query;
  const at::Tensor queries = at::arange(first, first + at.num_queries, whole).unsqueeze(1);
  const at::Tensor keys = at::arange(at.first_key, at.first_key + at.num_keys, whole).unsqueeze(0);
  const at::Tensor distance = queries - keys;
  at::Tensor hidden = distance < 0;
  return sliding_window > 0 ? hidden.logical_or_(distance >= sliding_window) : hidden;
}

/// Scaled and masked scores [G, heads per group * queries, keys].
at::Tensor scores_of(const at::Tensor& q_GRQ, const at::Tensor& k_GKQ, const Stretch& at,
                     int64_t first_position, const AttentionOptions& options) {
  at::Tensor scores = at::bmm(q_GRQ, k_GKQ.transpose(1, 2)).mul_(options.softmax_scale);
  scores.view({scores.size(0), -1, at.num_queries, at.num_keys})
      .masked_fill_(hidden_keys(at, first_position, options.sliding_window, scores.device()),
                    -std::numeric_limits<float>::infinity());
  return scores;
}

/// lse [queries, H] -> [G, heads per group * queries, 1].
at::Tensor lse_by_group(const at::Tensor& lse_TH, int64_t num_groups) {
  return by_group(lse_TH.unsqueeze(2), num_groups);
}

}  // namespace

void plain_attention(const at::Tensor& o_THW, const at::Tensor& lse_TH, const SequenceInputs& inputs,
                     const AttentionOptions& options) {
  const int64_t num_groups = inputs.k_TGQ.size(1), num_queries = inputs.q_THQ.size(0);
  const int64_t num_keys = inputs.k_TGQ.size(0), first_position = num_keys - num_queries;
  const at::Tensor k = by_group(inputs.k_TGQ, num_groups), v = by_group(inputs.v_TGW, num_groups);
  for (const Stretch& at : stretches(num_queries, num_keys, inputs.q_THQ.size(1), options.sliding_window)) {
    const at::Tensor q = by_group(inputs.q_THQ.narrow(0, at.first_query, at.num_queries), num_groups);
    at::Tensor scores = scores_of(q, k.narrow(1, at.first_key, at.num_keys), at, first_position, options);
    const at::Tensor lse = at::logsumexp(scores, 2, true);
    scores.sub_(lse).exp_();
    const at::Tensor o = at::bmm(scores, v.narrow(1, at.first_key, at.num_keys));
    o_THW.narrow(0, at.first_query, at.num_queries).copy_(by_token(o, at.num_queries));
    if (lse_TH.defined())
      lse_TH.narrow(0, at.first_query, at.num_queries).copy_(by_token(lse, at.num_queries).squeeze(2));
  }
}

void plain_attention_backward(const SequenceGradients& gradients, const SequenceInputs& inputs,
                              const AttentionOptions& options) {
  const int64_t num_groups = inputs.k_TGQ.size(1), num_tokens = inputs.q_THQ.size(0);
  const at::Tensor k = by_group(inputs.k_TGQ, num_groups), v = by_group(inputs.v_TGW, num_groups);
  const at::Tensor dk = at::zeros(k.sizes(), k.options()), dv = at::zeros(v.sizes(), v.options());
  for (const Stretch& at : stretches(num_tokens, num_tokens, inputs.q_THQ.size(1), options.sliding_window)) {
    const auto queries = [&](const at::Tensor& x_THS) {
      return by_group(x_THS.narrow(0, at.first_query, at.num_queries), num_groups);
    };
    const auto keys = [&](const at::Tensor& x_GKS) { return x_GKS.narrow(1, at.first_key, at.num_keys); };
    const at::Tensor q = queries(inputs.q_THQ), d_o = queries(gradients.do_THW);
    const at::Tensor lse =
        lse_by_group(gradients.lse_TH.narrow(0, at.first_query, at.num_queries), num_groups);
    const at::Tensor p = scores_of(q, keys(k), at, 0, options).sub_(lse).exp_();
    keys(dv).add_(at::bmm(p.transpose(1, 2), d_o));
    const at::Tensor delta = (d_o * queries(gradients.o_THW)).sum(2, true);
    const at::Tensor ds =
        at::bmm(d_o, keys(v).transpose(1, 2)).sub_(delta).mul_(p).mul_(options.softmax_scale);
    gradients.dq_THQ.narrow(0, at.first_query, at.num_queries)
        .copy_(by_token(at::bmm(ds, keys(k)), at.num_queries));
    keys(dk).add_(at::bmm(ds.transpose(1, 2), q));
  }
  gradients.dk_TGQ.copy_(by_token(dk, num_tokens));
  gradients.dv_TGW.copy_(by_token(dv, num_tokens));
}

}  // namespace athanor::kernels::cuda
