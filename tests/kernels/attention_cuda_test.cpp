// Attention on a GPU against fp64: packed documents, windows, grouped heads, value heads of another size.
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/concat.h>
#include <ATen/ops/zeros.h>
#include <fmt/core.h>

#include "kernels/ops.h"
#include "kernels/reference/attention.h"
#include "tests/kernels/cuda_testing.h"

namespace athanor::kernels {
namespace {

using testing::compare;
using testing::kComputeTypes;
using testing::normal;
using testing::on_gpu;
using testing::poisoned;
using testing::Tensors;

struct Case {
  std::vector<int64_t> documents;
  int64_t heads, groups, qk_size, v_size, window;

  std::string name(const char* operation) const {
    return fmt::format("{} T{} docs {} H{}/{} {}/{} window {}", operation, documents.back(),
                       documents.size() - 1, heads, groups, qk_size, v_size, window);
  }
};
const Case kCases[] = {
    {{0, 1}, 1, 1, 8, 8, 0},                        // one token
    {{0, 1, 2, 3, 40}, 4, 2, 64, 64, 0},            // documents of one token
    {{0, 5, 5, 130, 131, 300}, 4, 1, 192, 128, 0},  // an empty document, latent heads
    {{0, 77, 256}, 6, 2, 40, 24, 13},               // a window
    {{0, 200}, 2, 2, 64, 128, 1},                   // each sees itself alone
    {{0, 129, 1153}, 4, 4, 192, 128, 0},            // a long one
    {{0, 50, 90}, 3, 3, 20, 12, 0},                 // sizes that flash attention pads
    {{0, 33, 64}, 2, 1, 320, 16, 5},                // a head that is too large for it
};

/// With one key to look at there is nothing to choose: gradients of queries and keys cancel to nothing.
bool has_choice(const Case& c) {
  return c.window != 1 && static_cast<size_t>(c.documents.back()) >= c.documents.size();
}

// Flash attention rounds the probabilities to bf16 before the product with the values.
double tolerance(at::ScalarType dtype) {
  return dtype == at::kBFloat16 ? 8e-3 : 1e-5;
}

struct Inputs {
  at::Tensor q, k, v, d_o;

  Inputs(const Case& c, at::ScalarType dtype)
      : q(normal("q", {c.documents.back(), c.heads, c.qk_size}, dtype)),
        k(normal("k", {c.documents.back(), c.groups, c.qk_size}, dtype)),
        v(normal("v", {c.documents.back(), c.groups, c.v_size}, dtype)),
        d_o(normal("do", {c.documents.back(), c.heads, c.v_size}, dtype)) {}
};

AttentionOptions options_of(const Case& c) {
  return {1.0 / std::sqrt(static_cast<double>(c.qk_size)), c.window};
}

at::Tensor leaf(const at::Tensor& x) {
  return x.to(at::kDouble).clone().set_requires_grad(true);
}

TEST(CudaAttention, ForwardAndBackward) {
  for (const auto dtype : kComputeTypes)
    for (const Case& c : kCases) {
      const Inputs in(c, dtype);
      const at::Tensor q = leaf(in.q), k = leaf(in.k), v = leaf(in.v);
      const auto expected = reference::attention(q, k, v, c.documents, options_of(c));
      (expected.o_THW * in.d_o.to(at::kDouble)).sum().backward();
      const at::Tensor gq = on_gpu(in.q), gk = on_gpu(in.k), gv = on_gpu(in.v), gdo = on_gpu(in.d_o);
      const int64_t tokens = c.documents.back();
      at::Tensor o, lse;
      compare(c.name("attention"), dtype, tolerance(dtype),
              [&]() -> Tensors {
                o = poisoned({tokens, c.heads, c.v_size}, dtype);
                lse = poisoned({tokens, c.heads}, at::kFloat);
                attention(o, lse, gq, gk, gv, c.documents, options_of(c));
                return {o, lse};
              },
              {expected.o_THW.detach(), expected.lse_TH.detach()});
      compare(
          c.name("attention_backward"), dtype, 2 * tolerance(dtype),
          [&]() -> Tensors {
            const at::Tensor dq = poisoned(gq.sizes(), dtype), dk = poisoned(gk.sizes(), dtype),
                             dv = poisoned(gv.sizes(), dtype);
            attention_backward(dq, dk, dv, gdo, o, lse, gq, gk, gv, c.documents, options_of(c));
            return {dq, dk, dv};
          },
          {q.grad(), k.grad(), v.grad()}, has_choice(c) ? 1e-7 : 0.3);
    }
}

// As the model passes them: queries, keys and values as slices of one projection.
TEST(CudaAttention, StridedViews) {
  for (const auto dtype : kComputeTypes) {
    const Case c{{0, 20, 100}, 4, 2, 64, 64, 0};
    const at::Tensor qkv = normal("qkv", {100, 8, 64}, dtype), device = on_gpu(qkv);
    const auto part = [](const at::Tensor& x, int64_t first, int64_t heads) {
      return x.narrow(1, first, heads);
    };
    const auto expected =
        reference::attention(part(qkv, 0, 4), part(qkv, 4, 2), part(qkv, 6, 2), c.documents, options_of(c));
    compare("attention of strided views", dtype, tolerance(dtype),
            [&]() -> Tensors {
              const at::Tensor o = poisoned({100, 4, 64}, dtype), lse = poisoned({100, 4}, at::kFloat);
              attention(o, lse, part(device, 0, 4), part(device, 4, 2), part(device, 6, 2), c.documents,
                        options_of(c));
              return {o};
            },
            {expected.o_THW});
  }
}

/// The last rows of attention over the whole sequence.
at::Tensor cached_reference(const at::Tensor& q_new, const at::Tensor& k, const at::Tensor& v,
                            const AttentionOptions& options) {
  const int64_t length = k.size(0), num_new = q_new.size(0);
  const at::Tensor q =
      at::concat({at::zeros({length - num_new, q_new.size(1), q_new.size(2)}, q_new.options()), q_new}, 0);
  return reference::attention(q, k, v, {0, length}, options).o_THW.narrow(0, length - num_new, num_new);
}

TEST(CudaAttention, WithCache) {
  const std::vector<int64_t> num_new{1, 7, 0, 90}, length{33, 7, 5, 200};
  for (const auto dtype : kComputeTypes)
    for (const Case& c :
         {Case{{0}, 4, 2, 64, 64, 0}, Case{{0}, 2, 2, 192, 128, 0}, Case{{0}, 4, 1, 64, 32, 20}}) {
      const at::Tensor q = normal("q", {98, c.heads, c.qk_size}, dtype), gq = on_gpu(q);
      Tensors k, v, gk, gv, expected;
      int64_t first = 0;
      for (size_t i = 0; i < length.size(); first += num_new[i], ++i) {
        k.push_back(normal(fmt::format("k{}", i), {256, c.groups, c.qk_size}, dtype));
        v.push_back(normal(fmt::format("v{}", i), {256, c.groups, c.v_size}, dtype));
        gk.push_back(on_gpu(k.back()));
        gv.push_back(on_gpu(v.back()));
        if (num_new[i] > 0)
          expected.push_back(cached_reference(q.narrow(0, first, num_new[i]), k[i].narrow(0, 0, length[i]),
                                              v[i].narrow(0, 0, length[i]), options_of(c)));
      }
      compare(fmt::format("attention_with_cache H{}/{} {}/{} window {}", c.heads, c.groups, c.qk_size,
                          c.v_size, c.window),
              dtype, tolerance(dtype),
              [&]() -> Tensors {
                const at::Tensor o = poisoned({98, c.heads, c.v_size}, dtype);
                attention_with_cache(o, gq, gk, gv, num_new, length, options_of(c));
                return {o};
              },
              {at::concat(expected, 0)});
    }
}

}  // namespace
}  // namespace athanor::kernels
