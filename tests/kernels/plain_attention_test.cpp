// The exact attention of CUDA devices is made of plain products that run anywhere: against fp64, on the CPU.
#include "kernels/cuda/plain_attention.h"

#include <cmath>

#include <ATen/ops/full.h>

#include "kernels/reference/attention.h"
#include "tests/kernels/tensor_testing.h"

namespace athanor::kernels {
namespace {

using testing::near;
using testing::normal;

struct Case {
  int64_t tokens, heads, groups, qk_size, v_size, window;
};
const Case kCases[] = {{1, 1, 1, 4, 4, 0}, {37, 6, 2, 12, 8, 0}, {50, 4, 4, 8, 16, 7}, {20, 2, 1, 8, 8, 1}};

at::Tensor unwritten(at::IntArrayRef sizes) {
  return at::full(sizes, std::nan(""), at::kFloat);
}
at::Tensor leaf(const at::Tensor& x) {
  return x.to(at::kDouble).clone().set_requires_grad(true);
}

TEST(PlainAttention, EqualsTheReference) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(::testing::Message() << c.tokens << " tokens, window " << c.window);
    const AttentionOptions options{1.0 / std::sqrt(static_cast<double>(c.qk_size)), c.window};
    const at::Tensor q = normal("q", {c.tokens, c.heads, c.qk_size}),
                     k = normal("k", {c.tokens, c.groups, c.qk_size}),
                     v = normal("v", {c.tokens, c.groups, c.v_size}),
                     d_o = normal("do", {c.tokens, c.heads, c.v_size});
    const at::Tensor lq = leaf(q), lk = leaf(k), lv = leaf(v);
    const auto expected = reference::attention(lq, lk, lv, {0, c.tokens}, options);
    (expected.o_THW * d_o.to(at::kDouble)).sum().backward();

    const at::Tensor o = unwritten(d_o.sizes()), lse = unwritten({c.tokens, c.heads});
    cuda::plain_attention(o, lse, {q, k, v}, options);
    EXPECT_TRUE(near(o, expected.o_THW, 2e-6));
    EXPECT_TRUE(near(lse, expected.lse_TH, 2e-6));
    const at::Tensor dq = unwritten(q.sizes()), dk = unwritten(k.sizes()), dv = unwritten(v.sizes());
    cuda::plain_attention_backward({d_o, o, lse, dq, dk, dv}, {q, k, v}, options);
    EXPECT_TRUE(near(dq, lq.grad(), 4e-6));
    EXPECT_TRUE(near(dk, lk.grad(), 4e-6));
    EXPECT_TRUE(near(dv, lv.grad(), 4e-6));
  }
}

TEST(PlainAttention, FewQueriesAtTheEnd) {
  for (const Case& c : kCases) {
    const AttentionOptions options{0.3, c.window};
    const at::Tensor q = normal("q", {c.tokens, c.heads, c.qk_size}),
                     k = normal("k", {c.tokens, c.groups, c.qk_size}),
                     v = normal("v", {c.tokens, c.groups, c.v_size});
    const int64_t num_new = (c.tokens + 2) / 3;
    const at::Tensor o = unwritten({num_new, c.heads, c.v_size});
    cuda::plain_attention(o, {}, {q.narrow(0, c.tokens - num_new, num_new), k, v}, options);
    const auto expected = reference::attention(q, k, v, {0, c.tokens}, options);
    EXPECT_TRUE(near(o, expected.o_THW.narrow(0, c.tokens - num_new, num_new), 2e-6));
  }
}

}  // namespace
}  // namespace athanor::kernels
