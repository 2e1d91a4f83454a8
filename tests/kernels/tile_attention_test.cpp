// Attention on tiles, driven by engines in plain C++, on any machine: packing, masks, softmax, sums and how
// the work is cut. What the hardware adds is its own order of sums, so bit equality is shown for engines of
// several orders.
#include <algorithm>
#include <limits>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "core/parallel_for.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/tile_packing.h"
#include "kernels/reference/attention.h"
#include "kernels/reference/tile_engine.h"
#include "tests/kernels/attention_testing.h"

namespace athanor::kernels {
namespace {

using cpu::Bf16;
using cpu::TileEngine;
using Case = testing::AttentionCase;
using Inputs = testing::AttentionInputs;
using Outputs = testing::AttentionOutputs;
using testing::cache_of;
using testing::DecodingBatch;
using testing::near;
using testing::on_any_threads;
using testing::same_bits;
using testing::strided;

// ---- engines

/// Sums steps of 32 terms from the last to the first, as hardware with another order would.
void multiply_backwards(int64_t m, int64_t k, const Bf16* a, int64_t a_stride, const Bf16* b, float* c,
                        int64_t c_stride, bool accumulate) {
  for (int64_t end = k; end > 0; end = (end - 1) / 32 * 32) {
    const int64_t begin = (end - 1) / 32 * 32;
    reference::tile_engine().multiply(m, end - begin, a + begin, a_stride, b + begin * cpu::kTileColumns, c,
                                      c_stride, accumulate || end < k);
  }
}

/// A little too large, the more so the larger K: shows where the depth of a product depends on more than its
/// row.
void multiply_by_depth(int64_t m, int64_t k, const Bf16* a, int64_t a_stride, const Bf16* b, float* c,
                       int64_t c_stride, bool accumulate) {
  float sums[128 * cpu::kTileColumns];
  reference::tile_engine().multiply(m, k, a, a_stride, b, sums, cpu::kTileColumns, false);
  for (int64_t i = 0; i < m * cpu::kTileColumns; ++i) {
    float& out = c[i / cpu::kTileColumns * c_stride + i % cpu::kTileColumns];
    out = (accumulate ? out : 0.0f) + sums[i] * (1.0f + static_cast<float>(k) * 1e-3f);
  }
}

void nothing() {}

constexpr TileEngine kBackwards{multiply_backwards, nothing}, kDepthSensitive{multiply_by_depth, nothing};

/// The hardware's own, too, where there is some.
std::vector<const TileEngine*> engines() {
  std::vector<const TileEngine*> all{&reference::tile_engine(), &kBackwards, &kDepthSensitive};
  if (cpu::tile_engine()) all.push_back(cpu::tile_engine());
  return all;
}

// ---- calls

Outputs forward_in_tiles(const Case& c, const Inputs& in,
                         const TileEngine* engine = &reference::tile_engine()) {
  Outputs out{at::empty({c.num_tokens(), c.num_heads, c.v_size}, in.q.options()),
              at::empty({c.num_tokens(), c.num_heads}, at::kFloat)};
  cpu::attention(out.o, out.lse, in.q, in.k, in.v, c.offsets(), c.options(), engine);
  return out;
}

std::vector<at::Tensor> backward_in_tiles(const Case& c, const Inputs& in, const Outputs& out,
                                          const TileEngine* engine = &reference::tile_engine()) {
  const std::vector<at::Tensor> gradients{at::empty_like(in.q), at::empty_like(in.k), at::empty_like(in.v)};
  const auto offsets = c.offsets();
  const AttentionOptions options = c.options();
  cpu::attention_backward(
      {gradients[0], gradients[1], gradients[2], in.d_o, out.o, out.lse, in.q, in.k, in.v, offsets, options},
      engine);
  return gradients;
}

at::Tensor decode_in_chunks(const Case& c, const Inputs& in, int64_t chunk, const TileEngine* engine) {
  const at::Tensor o = at::empty({c.num_tokens(), c.num_heads, c.v_size}, in.q.options());
  for (int64_t first = 0; first < c.num_tokens(); first += chunk) {
    const int64_t count = std::min(chunk, c.num_tokens() - first), length = first + count;
    cpu::attention_with_cache(o.narrow(0, first, count), in.q.narrow(0, first, count),
                              {cache_of(in.k, length)}, {cache_of(in.v, length)}, {count}, {length},
                              c.options(), engine);
  }
  return o;
}

Inputs inputs_of(const Case& c) {
  return testing::inputs_of(c, at::kBFloat16);
}

Inputs part_of(const Inputs& in, int64_t first, int64_t count) {
  const auto part = [&](const at::Tensor& x) { return x.narrow(0, first, count).clone(); };
  return {part(in.q), part(in.k), part(in.v), part(in.d_o)};
}

std::vector<Case> cases() {
  std::vector<Case> all = testing::attention_cases();
  all.push_back({"more than a chunk of keys", {1100, 40}, 1, 1, 16, 16});
  all.push_back({"a window over chunks", {1300}, 2, 1, 16, 16, 1100});
  all.push_back({"blocks exactly", {256, 128}, 1, 1, 32, 64});
  all.push_back({"wide heads, three per group", {140}, 3, 1, 192, 128});
  all.push_back({"no tokens", {0}, 2, 1, 8, 8});
  return all;
}

// ---- values

// Probabilities are rounded to bf16: half a unit in the last place of each, which is what the output is
// rounded to as well.
constexpr double kForwardTolerance = 1e-2, kBackwardTolerance = 2e-2;

TEST(TileAttention, ForwardAgreesWithTheReferenceAndTheVectors) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(::testing::Message() << c);
    const Inputs in = inputs_of(c);
    const auto results = on_any_threads([&] {
      const Outputs out = forward_in_tiles(c, in);
      return std::vector<at::Tensor>{out.o, out.lse};
    });
    const auto expected = reference::attention(in.q, in.k, in.v, c.offsets(), c.options());
    EXPECT_TRUE(near(results[0], expected.o_THW, kForwardTolerance));
    EXPECT_TRUE(near(results[1], expected.lse_TH, 2e-6));
    const Outputs vectors = forward_in_tiles(c, in, nullptr);
    EXPECT_TRUE(near(results[0], vectors.o, kForwardTolerance));
    EXPECT_TRUE(near(results[1], vectors.lse, 2e-6));
  }
}

TEST(TileAttention, BackwardAgreesWithTheReferenceAndTheVectors) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(::testing::Message() << c);
    const Inputs in = inputs_of(c);
    const Outputs out = forward_in_tiles(c, in);
    const auto gradients = on_any_threads([&] { return backward_in_tiles(c, in, out); });
    std::vector<at::Tensor> leaves;
    for (const at::Tensor& tensor : {in.q, in.k, in.v})
      leaves.push_back(tensor.to(at::kDouble).detach().clone().set_requires_grad(true));
    const auto expected = reference::attention(leaves[0], leaves[1], leaves[2], c.offsets(), c.options());
    (expected.o_THW * in.d_o.to(at::kDouble)).sum().backward();
    const auto vectors = backward_in_tiles(c, in, forward_in_tiles(c, in, nullptr), nullptr);
    for (size_t i = 0; i < leaves.size(); ++i) {
      EXPECT_TRUE(near(gradients[i], leaves[i].grad(), kBackwardTolerance)) << "gradient " << i;
      EXPECT_TRUE(near(gradients[i], vectors[i], kBackwardTolerance)) << "gradient " << i;
    }
  }
}

TEST(TileAttention, LargeScoresDoNotOverflow) {
  const Case c{"", {130}, 1, 1, 16, 16, 0};
  Inputs in = inputs_of(c);
  in.q = in.q * 300.0;
  in.k = in.k * 300.0;
  const auto expected = reference::attention(in.q, in.k, in.v, c.offsets(), c.options());
  EXPECT_TRUE(near(forward_in_tiles(c, in).o, expected.o_THW, kForwardTolerance));
}

TEST(TileAttention, ANotANumberReachesTheOutput) {
  const Case c{"", {300}, 1, 1, 16, 16, 0};
  Inputs in = inputs_of(c);
  in.k.narrow(0, 140, 1).fill_(std::numeric_limits<double>::quiet_NaN());
  const Outputs out = forward_in_tiles(c, in);
  const at::Tensor is_nan = out.o.isnan();
  EXPECT_FALSE(is_nan.narrow(0, 0, 140).any().item<bool>());
  EXPECT_TRUE(is_nan.narrow(0, 140, 160).all().item<bool>());
  EXPECT_TRUE(backward_in_tiles(c, in, out)[0].isnan().narrow(0, 140, 160).all().item<bool>());
}

TEST(TileAttention, Fp32TensorsStayInVectors) {
  const Case c{"", {150}, 4, 2, 24, 16, 0};
  const Inputs in = testing::inputs_of(c, at::kFloat);
  const Outputs with = forward_in_tiles(c, in), without = forward_in_tiles(c, in, nullptr);
  EXPECT_TRUE(same_bits(with.o, without.o));
  const auto gradients = backward_in_tiles(c, in, with),
             expected = backward_in_tiles(c, in, without, nullptr);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(same_bits(gradients[i], expected[i]));
}

// ---- bits

TEST(TileAttention, BackwardDoesNotDependOnHowTheWorkIsCut) {
  // On one thread whole heads, on more key blocks and row tiles, the shorter the more threads.
  for (const Case& c : {Case{"", {333, 120}, 4, 2, 24, 16}, Case{"", {1400}, 1, 1, 16, 16},
                        Case{"", {700, 0, 5}, 3, 1, 40, 72, 200}}) {
    const Inputs in = inputs_of(c);
    const Outputs out = forward_in_tiles(c, in);
    core::set_num_threads(1);
    const auto whole = backward_in_tiles(c, in, out);
    for (const int num_threads : {2, 4, 8}) {
      core::set_num_threads(num_threads);
      const Outputs again = forward_in_tiles(c, in);
      EXPECT_TRUE(same_bits(again.o, out.o));
      EXPECT_TRUE(same_bits(again.lse, out.lse));
      const auto cut = backward_in_tiles(c, in, out);
      for (size_t i = 0; i < whole.size(); ++i)
        EXPECT_TRUE(same_bits(cut[i], whole[i])) << "gradient " << i << ", " << num_threads << " threads";
    }
    core::set_num_threads(1);
  }
}

TEST(TileAttention, DocumentsDoNotDependOnEachOther) {
  const Case packed{"", {67, 130, 1, 200}, 4, 2, 24, 16, 0};
  const Inputs in = inputs_of(packed);
  const Outputs together = forward_in_tiles(packed, in);
  const auto gradients = backward_in_tiles(packed, in, together);
  const auto offsets = packed.offsets();
  for (size_t i = 0; i < packed.documents.size(); ++i) {
    Case alone = packed;
    alone.documents = {packed.documents[i]};
    const Inputs part = part_of(in, offsets[i], packed.documents[i]);
    const Outputs out = forward_in_tiles(alone, part);
    EXPECT_TRUE(same_bits(out.o, together.o.narrow(0, offsets[i], packed.documents[i])));
    EXPECT_TRUE(same_bits(out.lse, together.lse.narrow(0, offsets[i], packed.documents[i])));
    const auto alone_gradients = backward_in_tiles(alone, part, out);
    for (size_t g = 0; g < gradients.size(); ++g)
      EXPECT_TRUE(same_bits(alone_gradients[g], gradients[g].narrow(0, offsets[i], packed.documents[i])));
  }
}

// A query, and the gradient of a query, are what they are without the tokens behind them.
TEST(TileAttention, RowsDoNotDependOnLaterRows) {
  for (const TileEngine* engine : engines())
    for (const Case& c : {Case{"", {300}, 4, 2, 24, 16}, Case{"", {300}, 2, 1, 19, 7, 90}}) {
      const Inputs in = inputs_of(c);
      const Outputs whole = forward_in_tiles(c, in, engine);
      const at::Tensor dq = backward_in_tiles(c, in, whole, engine)[0];
      for (const int64_t length : {1, 17, 64, 65, 128, 130, 299}) {
        Case start = c;
        start.documents = {length};
        const Inputs part = part_of(in, 0, length);
        const Outputs out = forward_in_tiles(start, part, engine);
        EXPECT_TRUE(same_bits(out.o, whole.o.narrow(0, 0, length))) << length;
        EXPECT_TRUE(same_bits(out.lse, whole.lse.narrow(0, 0, length))) << length;
        EXPECT_TRUE(same_bits(backward_in_tiles(start, part, out, engine)[0], dq.narrow(0, 0, length)))
            << length;
      }
    }
}

TEST(TileAttention, DecodingGivesTheBitsOfTheWholeDocument) {
  for (const TileEngine* engine : engines())
    for (const Case& c :
         {Case{"plain", {203}, 4, 2, 24, 16}, Case{"latent", {140}, 2, 2, 96, 64},
          Case{"window", {303}, 4, 1, 24, 16, 70}, Case{"narrow window", {130}, 2, 1, 19, 7, 5}})
      for (const int64_t chunk : {1, 7, 64, 100}) {
        SCOPED_TRACE(::testing::Message() << c << ", chunks of " << chunk);
        const Inputs in = inputs_of(c);
        EXPECT_TRUE(same_bits(decode_in_chunks(c, in, chunk, engine), forward_in_tiles(c, in, engine).o));
      }
}

TEST(TileAttention, OneTokenAfterALongCacheGivesTheBitsOfTheWholeDocument) {
  const Case c{"", {1200}, 2, 1, 32, 16, 0};
  const Inputs in = inputs_of(c);
  const at::Tensor whole = forward_in_tiles(c, in).o;
  for (const int64_t length : {1024, 1025, 1153, 1200}) {
    const at::Tensor o = at::empty({1, c.num_heads, c.v_size}, whole.options());
    cpu::attention_with_cache(o, in.q.narrow(0, length - 1, 1), {cache_of(in.k, length)},
                              {cache_of(in.v, length)}, {1}, {length}, c.options(),
                              &reference::tile_engine());
    EXPECT_TRUE(same_bits(o, whole.narrow(0, length - 1, 1))) << length;
  }
}

TEST(TileAttention, SequencesOfABatchDoNotDependOnEachOther) {
  const Case c{"", {90}, 4, 2, 24, 16, 0};
  const Inputs in = inputs_of(c);
  const DecodingBatch batch(in);
  const auto o = on_any_threads([&] {
    const at::Tensor out = at::empty({batch.q.size(0), c.num_heads, c.v_size}, batch.q.options());
    cpu::attention_with_cache(out, batch.q, batch.keys, batch.values, batch.num_new, batch.length,
                              c.options(), &reference::tile_engine());
    return std::vector<at::Tensor>{out};
  })[0];
  batch.expect_rows_of(forward_in_tiles(c, in).o, o);
}

TEST(TileAttention, TakesStridedViews) {
  const Case c{"", {170}, 4, 2, 24, 16, 0};
  const Inputs in = inputs_of(c);
  const Inputs views{strided(in.q), strided(in.k), strided(in.v), strided(in.d_o)};
  const Outputs expected = forward_in_tiles(c, in), out = forward_in_tiles(c, views);
  EXPECT_TRUE(same_bits(out.o, expected.o));
  const auto gradients = backward_in_tiles(c, views, out),
             expected_gradients = backward_in_tiles(c, in, expected);
  for (size_t i = 0; i < gradients.size(); ++i) EXPECT_TRUE(same_bits(gradients[i], expected_gradients[i]));
  const at::Tensor dk = strided(in.k).zero_();
  const auto offsets = c.offsets();
  const AttentionOptions options = c.options();
  cpu::attention_backward(
      {gradients[0], dk, gradients[2], in.d_o, out.o, out.lse, in.q, in.k, in.v, offsets, options},
      &reference::tile_engine());
  EXPECT_TRUE(same_bits(dk, expected_gradients[1]));
}

}  // namespace
}  // namespace athanor::kernels
