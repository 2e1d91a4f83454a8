#include "kernels/reference/attention.h"

#include <limits>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/parallel_for.h"
#include "kernels/ops.h"
#include "tests/kernels/attention_testing.h"

namespace athanor::kernels {
namespace {

using Case = testing::AttentionCase;
using Inputs = testing::AttentionInputs;
using Outputs = testing::AttentionOutputs;
using testing::cache_of;
using testing::DecodingBatch;
using testing::inputs_of;
using testing::kComputeTypes;
using testing::near;
using testing::on_any_threads;
using testing::same_bits;
using testing::strided;

Outputs forward(const Case& c, const Inputs& in) {
  Outputs out{at::empty({c.num_tokens(), c.num_heads, c.v_size}, in.q.options()),
              at::empty({c.num_tokens(), c.num_heads}, at::kFloat)};
  attention(out.o, out.lse, in.q, in.k, in.v, c.offsets(), c.options());
  return out;
}

std::vector<at::Tensor> backward(const Case& c, const Inputs& in, const Outputs& out) {
  const std::vector<at::Tensor> gradients{at::empty_like(in.q), at::empty_like(in.k), at::empty_like(in.v)};
  attention_backward(gradients[0], gradients[1], gradients[2], in.d_o, out.o, out.lse, in.q, in.k, in.v,
                     c.offsets(), c.options());
  return gradients;
}

TEST(Attention, ForwardAgreesWithTheReference) {
  for (const Case& c : testing::attention_cases())
    for (const auto dtype : kComputeTypes) {
      SCOPED_TRACE(::testing::Message() << c << ", " << c10::toString(dtype));
      const Inputs in = inputs_of(c, dtype);
      const auto results = on_any_threads([&] {
        const Outputs out = forward(c, in);
        return std::vector<at::Tensor>{out.o, out.lse};
      });
      const auto expected = reference::attention(in.q, in.k, in.v, c.offsets(), c.options());
      EXPECT_TRUE(near(results[0], expected.o_THW, testing::rounding_of(dtype)));
      EXPECT_TRUE(near(results[1], expected.lse_TH, 2e-6));
    }
}

TEST(Attention, BackwardAgreesWithAutogradOfTheReferenceInFp64) {
  for (const Case& c : testing::attention_cases())
    for (const auto dtype : kComputeTypes) {
      SCOPED_TRACE(::testing::Message() << c << ", " << c10::toString(dtype));
      const Inputs in = inputs_of(c, dtype);
      const Outputs out = forward(c, in);
      const auto gradients = on_any_threads([&] { return backward(c, in, out); });
      std::vector<at::Tensor> leaves;
      for (const at::Tensor& tensor : {in.q, in.k, in.v})
        leaves.push_back(tensor.to(at::kDouble).detach().clone().set_requires_grad(true));
      const auto expected = reference::attention(leaves[0], leaves[1], leaves[2], c.offsets(), c.options());
      (expected.o_THW * in.d_o.to(at::kDouble)).sum().backward();
      for (size_t i = 0; i < leaves.size(); ++i)
        EXPECT_TRUE(near(gradients[i], leaves[i].grad(), 2 * testing::rounding_of(dtype)))
            << "gradient " << i;
    }
}

TEST(Attention, BackwardDoesNotDependOnHowTheWorkIsCut) {
  // Eight heads on one thread run as whole heads, on eight threads as key blocks and query tiles.
  const Case c{"", {333, 120}, 4, 2, 24, 16, 0};
  const Inputs in = inputs_of(c, at::kFloat);
  const Outputs out = forward(c, in);
  core::set_num_threads(1);
  const auto whole = backward(c, in, out);
  core::set_num_threads(8);
  const auto cut = backward(c, in, out);
  core::set_num_threads(1);
  for (size_t i = 0; i < whole.size(); ++i) EXPECT_TRUE(same_bits(cut[i], whole[i])) << "gradient " << i;
}

TEST(Attention, DocumentsDoNotDependOnEachOther) {
  const Case packed{"", {67, 130, 1, 200}, 4, 2, 24, 16, 0};
  const Inputs in = inputs_of(packed, at::kBFloat16);
  const Outputs together = forward(packed, in);
  const auto offsets = packed.offsets();
  for (size_t i = 0; i < packed.documents.size(); ++i) {
    Case alone = packed;
    alone.documents = {packed.documents[i]};
    const auto part = [&](const at::Tensor& x) {
      return x.narrow(0, offsets[i], packed.documents[i]).clone();
    };
    const Outputs out = forward(alone, {part(in.q), part(in.k), part(in.v), part(in.d_o)});
    EXPECT_TRUE(same_bits(out.o, part(together.o)));
    EXPECT_TRUE(same_bits(out.lse, part(together.lse)));
  }
}

at::Tensor decode_in_chunks(const Case& c, const Inputs& in, int64_t chunk) {
  const at::Tensor o = at::empty({c.num_tokens(), c.num_heads, c.v_size}, in.q.options());
  for (int64_t first = 0; first < c.num_tokens(); first += chunk) {
    const int64_t count = std::min(chunk, c.num_tokens() - first), length = first + count;
    attention_with_cache(o.narrow(0, first, count), in.q.narrow(0, first, count), {cache_of(in.k, length)},
                         {cache_of(in.v, length)}, {count}, {length}, c.options());
  }
  return o;
}

TEST(AttentionWithCache, GivesTheBitsOfTheWholeDocument) {
  const std::vector<Case> whole{{"plain", {203}, 4, 2, 24, 16},
                                {"latent", {140}, 2, 2, 96, 64},
                                {"window", {203}, 4, 1, 24, 16, 70},
                                {"narrow window", {130}, 2, 1, 19, 7, 5}};
  for (const Case& c : whole)
    for (const auto dtype : kComputeTypes)
      for (const int64_t chunk : {1, 7, 64, 100}) {
        SCOPED_TRACE(::testing::Message() << c << ", " << c10::toString(dtype) << ", chunks of " << chunk);
        const Inputs in = inputs_of(c, dtype);
        EXPECT_TRUE(same_bits(decode_in_chunks(c, in, chunk), forward(c, in).o));
      }
}

TEST(AttentionWithCache, SequencesOfABatchDoNotDependOnEachOther) {
  const Case c{"", {90}, 4, 2, 24, 16, 0};
  const Inputs in = inputs_of(c, at::kFloat);
  const DecodingBatch batch(in);
  const auto o = on_any_threads([&] {
    const at::Tensor out = at::empty({batch.q.size(0), c.num_heads, c.v_size}, batch.q.options());
    attention_with_cache(out, batch.q, batch.keys, batch.values, batch.num_new, batch.length, c.options());
    return std::vector<at::Tensor>{out};
  })[0];
  batch.expect_rows_of(forward(c, in).o, o);
}

TEST(Attention, TakesStridedViews) {
  const Case c{"", {70}, 4, 2, 24, 16, 0};
  const Inputs in = inputs_of(c, at::kBFloat16);
  const Inputs views{strided(in.q), strided(in.k), strided(in.v), strided(in.d_o)};
  const Outputs expected = forward(c, in);
  Outputs out{strided(expected.o).zero_(), at::empty_like(expected.lse)};
  attention(out.o, out.lse, views.q, views.k, views.v, c.offsets(), c.options());
  EXPECT_TRUE(same_bits(out.o, expected.o));
  const std::vector<at::Tensor> gradients{strided(in.q).zero_(), strided(in.k).zero_(),
                                          strided(in.v).zero_()};
  attention_backward(gradients[0], gradients[1], gradients[2], views.d_o, out.o, out.lse, views.q, views.k,
                     views.v, c.offsets(), c.options());
  const auto expected_gradients = backward(c, in, expected);
  for (size_t i = 0; i < gradients.size(); ++i) EXPECT_TRUE(same_bits(gradients[i], expected_gradients[i]));
}

TEST(Attention, LargeScoresDoNotOverflow) {
  const Case c{"", {130}, 1, 1, 16, 16, 0};
  Inputs in = inputs_of(c, at::kFloat);
  in.q = in.q * 300.0;
  in.k = in.k * 300.0;
  const auto expected = reference::attention(in.q, in.k, in.v, c.offsets(), c.options());
  EXPECT_TRUE(near(forward(c, in).o, expected.o_THW, 1e-4));
}

TEST(Attention, ANotANumberReachesTheOutput) {
  const Case c{"", {100}, 1, 1, 16, 16, 0};
  Inputs in = inputs_of(c, at::kFloat);
  in.k.data_ptr<float>()[40 * 16] = std::numeric_limits<float>::quiet_NaN();
  const at::Tensor is_nan = forward(c, in).o.isnan();
  EXPECT_FALSE(is_nan.narrow(0, 0, 40).any().item<bool>());
  EXPECT_TRUE(is_nan.narrow(0, 40, 60).all().item<bool>());
}

TEST(Attention, WrongArgumentsAreNamed) {
  const Case c{"", {4}, 4, 2, 8, 8, 0};
  const Inputs in = inputs_of(c, at::kFloat);
  const Outputs out = forward(c, in);
  const auto call = [&](const at::Tensor& k, const std::vector<int64_t>& offsets, double scale) {
    attention(out.o, out.lse, in.q, k, in.v, offsets, {scale, 0});
  };
  EXPECT_NO_THROW(call(in.k, {0, 4}, 1.0));
  EXPECT_THROW(call(in.k, {0, 3}, 1.0), core::InternalError);
  EXPECT_THROW(call(in.k, {0, 5, 4}, 1.0), core::InternalError);
  EXPECT_THROW(call(in.k, {0, 4}, 0.0), core::InternalError);
  EXPECT_THROW(call(in.k.narrow(2, 0, 7), {0, 4}, 1.0), core::InternalError);
  EXPECT_THROW(call(in.k.to(at::kBFloat16), {0, 4}, 1.0), core::InternalError);
  EXPECT_THROW(call(in.k.to(at::kDouble), {0, 4}, 1.0), core::InternalError);
  EXPECT_THROW(attention_with_cache(out.o, in.q, {in.k}, {in.v}, {4}, {5}, c.options()), core::InternalError);
  EXPECT_THROW(attention_with_cache(out.o, in.q, {in.k}, {in.v}, {3}, {4}, c.options()), core::InternalError);
}

}  // namespace
}  // namespace athanor::kernels
