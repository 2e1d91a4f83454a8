// The checks in front of attention.
#include "kernels/cpu/attention.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "kernels/checks.h"
#include "kernels/cuda/attention.h"
#include "kernels/ops.h"

namespace athanor::kernels {
namespace {

void check_options(const Checker& check, const AttentionOptions& options) {
  ATHANOR_CHECK(std::isfinite(options.softmax_scale) && options.softmax_scale > 0.0,
                "{}: softmax_scale is {}, expected a positive number", check.operation(),
                options.softmax_scale);
  ATHANOR_CHECK(options.sliding_window >= 0, "{}: sliding_window is {}, expected 0 (none) or more",
                check.operation(), options.sliding_window);
}

/// A [tokens, heads, size] tensor of this dtype with contiguous rows.
void check_heads(const Checker& check, const char* name, const at::Tensor& tensor, at::ScalarType type,
                 std::initializer_list<int64_t> sizes) {
  check.shape(name, tensor, sizes);
  check.dtype(name, tensor, type);
  check.rows_contiguous(name, tensor);
}

void check_grouping(const Checker& check, int64_t num_heads, int64_t num_groups) {
  ATHANOR_CHECK(num_groups >= 1 && num_heads % num_groups == 0,
                "{}: {} query heads do not divide over {} key/value heads", check.operation(), num_heads,
                num_groups);
}

/// q, k, v, o and lse of packed documents. True on a CUDA device, false on the CPU.
bool check_packed(const Checker& check, const at::Tensor& o, const at::Tensor& lse, const at::Tensor& q,
                  const at::Tensor& k, const at::Tensor& v, const std::vector<int64_t>& document_offsets,
                  const AttentionOptions& options) {
  check_options(check, options);
  check.dim("q", q, 3);
  check.dim("k", k, 3);
  check.dim("v", v, 3);
  check.compute_dtype("q", q);
  const auto type = q.scalar_type();
  const int64_t num_tokens = q.size(0), num_heads = q.size(1), num_groups = k.size(1);
  check_grouping(check, num_heads, num_groups);
  check_heads(check, "q", q, type, {num_tokens, num_heads, q.size(2)});
  check_heads(check, "k", k, type, {num_tokens, num_groups, q.size(2)});
  check_heads(check, "v", v, type, {num_tokens, num_groups, v.size(2)});
  check_heads(check, "o", o, type, {num_tokens, num_heads, v.size(2)});
  check.tensor("lse", lse, at::kFloat, {num_tokens, num_heads});
  check.offsets("document_offsets", document_offsets, static_cast<int64_t>(document_offsets.size()) - 1,
                num_tokens);
  return check.on_cuda({&q, &k, &v, &o, &lse});
}

/// Sequence i of a batch with caches.
void check_cache(const Checker& check, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                 int64_t num_new, int64_t length) {
  ATHANOR_CHECK(num_new >= 0 && num_new <= length, "{}: {} new tokens in a sequence of {}", check.operation(),
                num_new, length);
  check.dim("k_cache", k, 3);
  check.dim("v_cache", v, 3);
  ATHANOR_CHECK(length <= k.size(0) && length <= v.size(0), "{}: a sequence of {} in a cache of {} rows",
                check.operation(), length, std::min(k.size(0), v.size(0)));
  check_grouping(check, q.size(1), k.size(1));
  check_heads(check, "k_cache", k, q.scalar_type(), {k.size(0), k.size(1), q.size(2)});
  check_heads(check, "v_cache", v, q.scalar_type(), {v.size(0), k.size(1), v.size(2)});
}

}  // namespace

void attention(const at::Tensor& o_THW, const at::Tensor& lse_TH, const at::Tensor& q_THQ,
               const at::Tensor& k_TGQ, const at::Tensor& v_TGW, const std::vector<int64_t>& document_offsets,
               const AttentionOptions& options) {
  if (check_packed(Checker("attention"), o_THW, lse_TH, q_THQ, k_TGQ, v_TGW, document_offsets, options))
    return cuda::attention(o_THW, lse_TH, q_THQ, k_TGQ, v_TGW, document_offsets, options);
  cpu::attention(o_THW, lse_TH, q_THQ, k_TGQ, v_TGW, document_offsets, options);
}

void attention_backward(const at::Tensor& dq_THQ, const at::Tensor& dk_TGQ, const at::Tensor& dv_TGW,
                        const at::Tensor& do_THW, const at::Tensor& o_THW, const at::Tensor& lse_TH,
                        const at::Tensor& q_THQ, const at::Tensor& k_TGQ, const at::Tensor& v_TGW,
                        const std::vector<int64_t>& document_offsets, const AttentionOptions& options) {
  const Checker check("attention_backward");
  check_packed(check, o_THW, lse_TH, q_THQ, k_TGQ, v_TGW, document_offsets, options);
  const bool on_cuda = check.on_cuda({&q_THQ, &dq_THQ, &dk_TGQ, &dv_TGW, &do_THW});
  const auto type = q_THQ.scalar_type();
  check_heads(check, "do", do_THW, type, {q_THQ.size(0), q_THQ.size(1), v_TGW.size(2)});
  check_heads(check, "dq", dq_THQ, type, {q_THQ.size(0), q_THQ.size(1), q_THQ.size(2)});
  check_heads(check, "dk", dk_TGQ, type, {k_TGQ.size(0), k_TGQ.size(1), k_TGQ.size(2)});
  check_heads(check, "dv", dv_TGW, type, {v_TGW.size(0), v_TGW.size(1), v_TGW.size(2)});
  if (on_cuda)
    return cuda::attention_backward({dq_THQ, dk_TGQ, dv_TGW, do_THW, o_THW, lse_TH, q_THQ, k_TGQ, v_TGW},
                                    document_offsets, options);
  cpu::attention_backward(
      {dq_THQ, dk_TGQ, dv_TGW, do_THW, o_THW, lse_TH, q_THQ, k_TGQ, v_TGW, document_offsets, options});
}

void attention_with_cache(const at::Tensor& o_THW, const at::Tensor& q_THQ,
                          const std::vector<at::Tensor>& k_cache, const std::vector<at::Tensor>& v_cache,
                          const std::vector<int64_t>& num_new, const std::vector<int64_t>& length,
                          const AttentionOptions& options) {
  const Checker check("attention_with_cache");
  const bool on_cuda = check.on_cuda({&q_THQ, &o_THW});
  check_options(check, options);
  check.dim("q", q_THQ, 3);
  check.compute_dtype("q", q_THQ);
  check.rows_contiguous("q", q_THQ);
  const size_t num_sequences = num_new.size();
  ATHANOR_CHECK(
      k_cache.size() == num_sequences && v_cache.size() == num_sequences && length.size() == num_sequences,
      "attention_with_cache: {} counts of new tokens, {} lengths, {} key and {} value caches", num_sequences,
      length.size(), k_cache.size(), v_cache.size());
  int64_t num_tokens = 0;
  for (size_t i = 0; i < num_sequences; ++i) {
    check.on_cuda({&q_THQ, &k_cache[i], &v_cache[i]});
    check_cache(check, q_THQ, k_cache[i], v_cache[i], num_new[i], length[i]);
    check_heads(check, "k_cache", k_cache[i], q_THQ.scalar_type(),
                {k_cache[i].size(0), k_cache[0].size(1), q_THQ.size(2)});
    check_heads(check, "v_cache", v_cache[i], q_THQ.scalar_type(),
                {v_cache[i].size(0), v_cache[0].size(1), v_cache[0].size(2)});
    num_tokens += num_new[i];
  }
  ATHANOR_CHECK(num_tokens == q_THQ.size(0), "attention_with_cache: q has {} rows, expected {} new tokens",
                q_THQ.size(0), num_tokens);
  if (num_sequences == 0) return;
  check_heads(check, "o", o_THW, q_THQ.scalar_type(), {num_tokens, q_THQ.size(1), v_cache[0].size(2)});
  if (on_cuda) return cuda::attention_with_cache(o_THW, q_THQ, k_cache, v_cache, num_new, length, options);
  cpu::attention_with_cache(o_THW, q_THQ, k_cache, v_cache, num_new, length, options);
}

std::string attention_kernel_name(at::ScalarType dtype) {
  return product_kernel_name(dtype);
}

}  // namespace athanor::kernels
