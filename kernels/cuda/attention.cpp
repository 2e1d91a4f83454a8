#include "kernels/cuda/attention.h"

#include <algorithm>

#include <ATen/ops/_flash_attention_backward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include "core/error.h"
#include "kernels/cuda/plain_attention.h"
#include "kernels/cuda/torch_settings.h"
#include "kernels/cuda/transfer.h"

namespace athanor::kernels::cuda {
namespace {

constexpr int64_t kMaxFlashHeadSize = 256, kFlashHeadMultiple = 8;

/// The one head size that flash attention knows: large enough for queries, keys and values.
int64_t flash_head_size(const at::Tensor& q, const at::Tensor& v) {
  const int64_t size = std::max(q.size(2), v.size(2));
  return (size + kFlashHeadMultiple - 1) / kFlashHeadMultiple * kFlashHeadMultiple;
}

bool fits_flash(const at::Tensor& q, const at::Tensor& v) {
  return q.scalar_type() == at::kBFloat16 && flash_head_size(q, v) <= kMaxFlashHeadSize;
}

/// Zeros behind every head change no product. Flash attention reads rows 16 bytes at a time, so other strides
/// and addresses are copied as well.
at::Tensor for_flash(const at::Tensor& x_THS, int64_t head_size) {
  if (x_THS.size(2) < head_size) return at::constant_pad_nd(x_THS, {0, head_size - x_THS.size(2)});
  const bool is_aligned = reinterpret_cast<uintptr_t>(x_THS.const_data_ptr()) % 16 == 0 &&
                          x_THS.stride(0) % kFlashHeadMultiple == 0 &&
                          x_THS.stride(1) % kFlashHeadMultiple == 0;
  return is_aligned ? x_THS : x_THS.contiguous();
}

std::optional<int64_t> window_left(const AttentionOptions& options) {
  return options.sliding_window > 0 ? std::optional(options.sliding_window - 1) : std::nullopt;
}
std::optional<int64_t> window_right(const AttentionOptions& options) {
  return options.sliding_window > 0 ? std::optional<int64_t>(0) : std::nullopt;
}

/// Where documents begin and end, on the device; empty ones are left out.
struct Documents {
  at::Tensor offsets;
  int64_t longest = 0;

  Documents(const std::vector<int64_t>& document_offsets, at::Device device) {
    std::vector<int64_t> kept{0};
    for (const int64_t end : document_offsets)
      if (end > kept.back()) {
        longest = std::max(longest, end - kept.back());
        kept.push_back(end);
      }
    offsets = to_device_int32(kept, device);
  }
};

struct FlashResult {
  at::Tensor o_THS, lse_HT;
};
FlashResult flash(const at::Tensor& q_THQ, const at::Tensor& k_TGQ, const at::Tensor& v_TGW,
                  const Documents& queries, const Documents& keys, const AttentionOptions& options) {
  const int64_t size = flash_head_size(q_THQ, v_TGW);
  auto [o, lse, rng_state, unused, mask] = at::_flash_attention_forward(
      for_flash(q_THQ, size), for_flash(k_TGQ, size), for_flash(v_TGW, size), queries.offsets, keys.offsets,
      queries.longest, keys.longest, /*dropout_p=*/0.0, /*is_causal=*/true, /*return_debug_mask=*/false,
      options.softmax_scale, window_left(options), window_right(options));
  return {o, lse};
}

void flash_backward(const AttentionGradients& args, const Documents& documents,
                    const AttentionOptions& options) {
  const int64_t size = flash_head_size(args.q_THQ, args.v_TGW);
  // No dropout: the generator's state is not read.
  const at::Tensor rng_state = at::empty({2}, args.q_THQ.options().dtype(at::kUInt64)),
                   unused = at::empty({}, args.q_THQ.options().dtype(at::kUInt64));
  const DeterministicScope deterministic;
  const auto [dq, dk, dv] = at::_flash_attention_backward(
      for_flash(args.do_THW, size), for_flash(args.q_THQ, size), for_flash(args.k_TGQ, size),
      for_flash(args.v_TGW, size), for_flash(args.o_THW, size), args.lse_TH.t().contiguous(),
      documents.offsets, documents.offsets, documents.longest, documents.longest, /*dropout_p=*/0.0,
      /*is_causal=*/true, rng_state, unused, options.softmax_scale, window_left(options),
      window_right(options));
  args.dq_THQ.copy_(dq.narrow(2, 0, args.dq_THQ.size(2)));
  args.dk_TGQ.copy_(dk.narrow(2, 0, args.dk_TGQ.size(2)));
  args.dv_TGW.copy_(dv.narrow(2, 0, args.dv_TGW.size(2)));
}

/// Calls body(first token, number of tokens) for each document that is not empty.
template <typename Body>
void for_each_document(const std::vector<int64_t>& offsets, Body body) {
  for (size_t i = 0; i + 1 < offsets.size(); ++i)
    if (offsets[i + 1] > offsets[i]) body(offsets[i], offsets[i + 1] - offsets[i]);
}

}  // namespace

void attention(const at::Tensor& o_THW, const at::Tensor& lse_TH, const at::Tensor& q_THQ,
               const at::Tensor& k_TGQ, const at::Tensor& v_TGW, const std::vector<int64_t>& document_offsets,
               const AttentionOptions& options) {
  const c10::NoGradGuard without_recording;
  if (q_THQ.size(0) == 0) return;
  if (fits_flash(q_THQ, v_TGW)) {
    const Documents documents(document_offsets, q_THQ.device());
    const FlashResult result = flash(q_THQ, k_TGQ, v_TGW, documents, documents, options);
    ATHANOR_CHECK(
        result.lse_HT.dim() == 2 && result.lse_HT.size(1) == q_THQ.size(0),
        "attention: LibTorch's flash attention gave {} log-sum-exps in {} dimensions, expected [{}, "
        "{}]; is this another LibTorch?",
        result.lse_HT.numel(), result.lse_HT.dim(), q_THQ.size(1), q_THQ.size(0));
    o_THW.copy_(result.o_THS.narrow(2, 0, o_THW.size(2)));
    lse_TH.copy_(result.lse_HT.t());
    return;
  }
  for_each_document(document_offsets, [&](int64_t first, int64_t count) {
    plain_attention(
        o_THW.narrow(0, first, count), lse_TH.narrow(0, first, count),
        {q_THQ.narrow(0, first, count), k_TGQ.narrow(0, first, count), v_TGW.narrow(0, first, count)},
        options);
  });
}

void attention_backward(const AttentionGradients& args, const std::vector<int64_t>& document_offsets,
                        const AttentionOptions& options) {
  const c10::NoGradGuard without_recording;
  if (args.q_THQ.size(0) == 0) return;
  if (fits_flash(args.q_THQ, args.v_TGW))
    return flash_backward(args, Documents(document_offsets, args.q_THQ.device()), options);
  for_each_document(document_offsets, [&](int64_t first, int64_t count) {
    const auto part = [&](const at::Tensor& tensor) { return tensor.narrow(0, first, count); };
    plain_attention_backward({part(args.do_THW), part(args.o_THW), part(args.lse_TH), part(args.dq_THQ),
                              part(args.dk_TGQ), part(args.dv_TGW)},
                             {part(args.q_THQ), part(args.k_TGQ), part(args.v_TGW)}, options);
  });
}

void attention_with_cache(const at::Tensor& o_THW, const at::Tensor& q_THQ,
                          const std::vector<at::Tensor>& k_cache, const std::vector<at::Tensor>& v_cache,
                          const std::vector<int64_t>& num_new, const std::vector<int64_t>& length,
                          const AttentionOptions& options) {
  const c10::NoGradGuard without_recording;
  int64_t first = 0;
  for (size_t i = 0; i < num_new.size(); first += num_new[i], ++i) {
    if (num_new[i] == 0) continue;
    const at::Tensor o = o_THW.narrow(0, first, num_new[i]), q = q_THQ.narrow(0, first, num_new[i]);
    const at::Tensor k = k_cache[i].narrow(0, 0, length[i]), v = v_cache[i].narrow(0, 0, length[i]);
    if (fits_flash(q, v)) {
      // With fewer queries than keys, the last query sees the last key.
      const Documents queries({0, num_new[i]}, q.device()), keys({0, length[i]}, q.device());
      o.copy_(flash(q, k, v, queries, keys, options).o_THS.narrow(2, 0, o.size(2)));
    } else {
      plain_attention(o, {}, {q, k, v}, options);
    }
  }
}

}  // namespace athanor::kernels::cuda
