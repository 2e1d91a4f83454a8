// Speed of attention, loss and expert routing on the shapes of workload W1, with LibTorch's own beside ours.
// Usage: bench_attention_moe_loss [threads ...], default 1 2. Every figure is the best of several runs. The
// share of the peak is against kernels::measure_peak_flops at the same number of threads, attention counted
// with the products that causality leaves.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/topk.h>

#include "bench/kernels/timing.h"
#include "core/parallel_for.h"
#include "kernels/ops.h"

namespace {

namespace kernels = athanor::kernels;
using athanor::bench::best_seconds;

constexpr int64_t kSequences = 4, kLength = 1024, kTokens = kSequences * kLength;
constexpr int64_t kHidden = 512, kVocabulary = 8192, kExperts = 16, kChosen = 4;
constexpr int64_t kHeads = 8, kQkSize = 96, kVSize = 64;

at::Tensor normal(at::IntArrayRef sizes, at::ScalarType dtype) {
  return at::randn(sizes, at::kFloat).to(dtype);
}

struct Figures {
  double flops, peak;
};

void print(const char* what, at::ScalarType dtype, double seconds, const Figures& figures,
           double peer_seconds) {
  std::printf("  %-34s %-8s %8.2f ms", what, c10::toString(dtype), seconds * 1e3);
  if (figures.flops > 0)
    std::printf("  %7.1f GFLOP/s  %3.0f %% of peak", figures.flops / seconds * 1e-9,
                figures.flops / seconds / figures.peak * 100);
  if (peer_seconds > 0)
    std::printf("  | LibTorch %8.2f ms, %.1f times ours", peer_seconds * 1e3, peer_seconds / seconds);
  std::printf("\n");
}

at::Tensor as_leaf(const at::Tensor& x) {
  return x.detach().clone().set_requires_grad(true);
}

void bench_attention(at::ScalarType dtype, double peak) {
  const at::Tensor q = normal({kTokens, kHeads, kQkSize}, dtype),
                   k = normal({kTokens, kHeads, kQkSize}, dtype);
  const at::Tensor v = normal({kTokens, kHeads, kVSize}, dtype),
                   d_o = normal({kTokens, kHeads, kVSize}, dtype);
  const at::Tensor o = at::empty_like(v), lse = at::empty({kTokens, kHeads}, at::kFloat);
  const at::Tensor dq = at::empty_like(q), dk = at::empty_like(k), dv = at::empty_like(v);
  std::vector<int64_t> offsets;
  for (int64_t i = 0; i <= kSequences; ++i) offsets.push_back(i * kLength);
  const kernels::AttentionOptions options{1.0 / std::sqrt(static_cast<double>(kQkSize)), 0};
  const auto forward = [&] { kernels::attention(o, lse, q, k, v, offsets, options); };
  const auto backward = [&] {
    kernels::attention_backward(dq, dk, dv, d_o, o, lse, q, k, v, offsets, options);
  };
  forward();

  const auto batched = [](const at::Tensor& x) {
    return as_leaf(x.view({kSequences, kLength, x.size(1), x.size(2)}).transpose(1, 2));
  };
  const at::Tensor peer_q = batched(q), peer_k = batched(k), peer_v = batched(v);
  const at::Tensor peer_d_o = d_o.view({kSequences, kLength, kHeads, kVSize}).transpose(1, 2);
  const auto peer_forward = [&] {
    return at::scaled_dot_product_attention(peer_q, peer_k, peer_v, {}, 0.0, true, options.softmax_scale);
  };
  const double peer_forward_s = best_seconds([&] { peer_forward(); });
  const double peer_both_s = best_seconds([&] { peer_forward().backward(peer_d_o); });

  const double pairs = static_cast<double>(kSequences * kHeads * kLength * (kLength + 1)) / 2;
  print("attention", dtype, best_seconds(forward), {pairs * 2 * (kQkSize + kVSize), peak}, peer_forward_s);
  print("attention_backward", dtype, best_seconds(backward), {pairs * 2 * (3 * kQkSize + 2 * kVSize), peak},
        peer_both_s - peer_forward_s);
}

void bench_decode(at::ScalarType dtype) {
  constexpr int64_t kBatch = 8;
  const at::Tensor q = normal({kBatch, kHeads, kQkSize}, dtype),
                   o = at::empty({kBatch, kHeads, kVSize}, q.options());
  const std::vector<at::Tensor> k(kBatch, normal({kLength, kHeads, kQkSize}, dtype));
  const std::vector<at::Tensor> v(kBatch, normal({kLength, kHeads, kVSize}, dtype));
  const std::vector<int64_t> num_new(kBatch, 1), length(kBatch, kLength);
  const double seconds = best_seconds([&] {
    kernels::attention_with_cache(o, q, k, v, num_new, length, {0.1, 0});
  });
  print("attention_with_cache, 8 x 1 of 1024", dtype, seconds, {}, 0);
}

void bench_loss(at::ScalarType dtype, double peak) {
  const at::Tensor x = normal({kTokens, kHidden}, dtype), w = normal({kVocabulary, kHidden}, dtype) * 0.05;
  const at::Tensor labels = at::randint(kVocabulary, {kTokens}, at::kLong);
  const at::Tensor weight = at::randn({kTokens}, at::kFloat), loss = at::empty({kTokens}, at::kFloat);
  const at::Tensor dx = at::empty_like(x), dw = at::empty({kVocabulary, kHidden}, at::kFloat);
  const auto forward = [&] { kernels::linear_cross_entropy(loss, {}, x, w, labels); };
  const auto with_gradient = [&] {
    kernels::linear_cross_entropy_with_gradient(loss, dx, dw, x, w, labels, weight, false);
  };
  const at::Tensor peer_x = as_leaf(x), peer_w = as_leaf(w);
  const auto peer_forward = [&] {
    const at::Tensor logits = at::matmul(peer_x, peer_w.t()).to(at::kFloat);
    return at::log_softmax(logits, 1).gather(1, labels.unsqueeze(1)).squeeze(1);
  };
  const double peer_forward_s = best_seconds([&] { peer_forward(); });
  const double peer_both_s = best_seconds([&] { (peer_forward() * weight).sum().backward(); });
  const double product = 2.0 * kTokens * kHidden * kVocabulary;
  print("linear_cross_entropy", dtype, best_seconds(forward), {product, peak}, peer_forward_s);
  print("  with gradient", dtype, best_seconds(with_gradient), {3 * product, peak}, peer_both_s);
}

void bench_experts(at::ScalarType dtype) {
  const at::Tensor logits = normal({kTokens, kExperts}, at::kFloat),
                   bias = normal({kExperts}, at::kFloat) * 0.1;
  const at::Tensor ids = at::empty({kTokens, kChosen}, at::kInt),
                   weights = at::empty({kTokens, kChosen}, at::kFloat);
  const at::Tensor scores = at::empty_like(logits), dlogits = at::empty_like(logits),
                   dweights = at::empty_like(weights);
  const kernels::RouterOptions options{.num_experts_per_tok = kChosen, .routed_scaling_factor = 2.5};
  const auto route = [&] { kernels::route(ids, weights, scores, logits, bias, options); };
  const double peer_route_s = best_seconds([&] {
    const at::Tensor peer_scores = at::sigmoid(logits);
    const auto chosen = at::topk(peer_scores + bias, kChosen, -1, true, false);
    const at::Tensor peer_weights = peer_scores.gather(1, std::get<1>(chosen));
    return peer_weights / (peer_weights.sum(1, true) + 1e-20) * 2.5;
  });
  print("route", at::kFloat, best_seconds(route), {}, peer_route_s);
  print("route_backward", at::kFloat,
        best_seconds([&] { kernels::route_backward(dlogits, weights, {}, ids, scores, options); }), {}, 0);
  print("permutation_by_expert", at::kInt,
        best_seconds([&] { kernels::permutation_by_expert(ids, kExperts); }), {}, 0);

  const auto p = kernels::permutation_by_expert(ids, kExperts);
  const at::Tensor x = normal({kTokens, kHidden}, dtype), y = at::empty_like(x);
  const at::Tensor rows = at::empty({kTokens * kChosen, kHidden}, x.options()), drows = at::empty_like(rows);
  const at::Tensor tokens = p.token_of_row.to(at::kLong);
  const auto permute = [&] { kernels::permute(rows, x, p); };
  print("permute", dtype, best_seconds(permute), {}, best_seconds([&] { x.index_select(0, tokens); }));
  print("permute_backward", dtype, best_seconds([&] { kernels::permute_backward(y, rows, p); }), {}, 0);
  print("combine", dtype, best_seconds([&] { kernels::combine(y, rows, weights, p); }), {}, 0);
  print("combine_backward", dtype,
        best_seconds([&] { kernels::combine_backward(drows, dweights, x, rows, weights, p); }), {}, 0);

  const at::Tensor token_ids = at::randint(kVocabulary, {kTokens}, at::kLong),
                   w = normal({kVocabulary, kHidden}, dtype);
  const at::Tensor dw = at::empty({kVocabulary, kHidden}, at::kFloat).zero_();
  print("embedding", dtype, best_seconds([&] { kernels::embedding(y, token_ids, w); }), {},
        best_seconds([&] { w.index_select(0, token_ids); }));
  print("embedding_backward", dtype, best_seconds([&] { kernels::embedding_backward(dw, x, token_ids); }), {},
        0);
}

void bench_all(int num_threads) {
  at::set_num_threads(num_threads);
  athanor::core::set_num_threads(num_threads);
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const double peak = kernels::measure_peak_flops(dtype);
    std::printf("%d threads, %s, products by %s, attention by %s, peak %.1f GFLOP/s\n", num_threads,
                c10::toString(dtype), kernels::product_kernel_name(dtype).c_str(),
                kernels::attention_kernel_name(dtype).c_str(), peak * 1e-9);
    bench_attention(dtype, peak);
    bench_decode(dtype);
    bench_loss(dtype, peak);
    bench_experts(dtype);
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  if (argc == 1)
    for (const int num_threads : {1, 2}) bench_all(num_threads);
  for (int i = 1; i < argc; ++i) bench_all(std::atoi(argv[i]));
}
