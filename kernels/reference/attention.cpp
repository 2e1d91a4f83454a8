#include "kernels/reference/attention.h"

#include <limits>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/concat.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/masked_fill.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/stack.h>

namespace athanor::kernels::reference {
namespace {

// True where query i must not look at key j.
at::Tensor hidden_keys(int64_t num_tokens, int64_t sliding_window) {
  const at::Tensor positions = at::arange(num_tokens);
  const at::Tensor distance = positions.unsqueeze(1) - positions.unsqueeze(0);
  const at::Tensor future = distance < 0;
  return sliding_window > 0 ? future.logical_or(distance >= sliding_window) : future;
}

AttentionResult one_head(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                         const AttentionOptions& options) {
  const at::Tensor scores = at::matmul(q, k.t()) * options.softmax_scale;
  const at::Tensor masked = scores.masked_fill(hidden_keys(q.size(0), options.sliding_window),
                                               -std::numeric_limits<double>::infinity());
  const at::Tensor lse = at::logsumexp(masked, 1);
  return {at::matmul((masked - lse.unsqueeze(1)).exp(), v), lse};
}

}  // namespace

AttentionResult attention(const at::Tensor& q_THQ, const at::Tensor& k_TGQ, const at::Tensor& v_TGW,
                          const std::vector<int64_t>& document_offsets, const AttentionOptions& options) {
  const at::Tensor q = q_THQ.to(at::kDouble), k = k_TGQ.to(at::kDouble), v = v_TGW.to(at::kDouble);
  const int64_t heads_per_group = q.size(1) / k.size(1);
  std::vector<at::Tensor> outputs, lses;
  for (size_t i = 0; i + 1 < document_offsets.size(); ++i) {
    const int64_t begin = document_offsets[i], num_tokens = document_offsets[i + 1] - begin;
    std::vector<at::Tensor> head_outputs, head_lses;
    for (int64_t h = 0; h < q.size(1); ++h) {
      const auto head = one_head(q.narrow(0, begin, num_tokens).select(1, h),
                                 k.narrow(0, begin, num_tokens).select(1, h / heads_per_group),
                                 v.narrow(0, begin, num_tokens).select(1, h / heads_per_group), options);
      head_outputs.push_back(head.o_THW);
      head_lses.push_back(head.lse_TH);
    }
    outputs.push_back(at::stack(head_outputs, 1));
    lses.push_back(at::stack(head_lses, 1));
  }
  return {at::concat(outputs, 0), at::concat(lses, 0)};
}

}  // namespace athanor::kernels::reference
