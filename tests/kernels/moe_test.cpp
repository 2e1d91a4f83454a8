#include <algorithm>
#include <limits>
#include <ostream>

#include <ATen/TensorOperators.h>
#include <ATen/ops/concat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "kernels/ops.h"
#include "kernels/reference/mixture_of_experts.h"
#include "tests/kernels/tensor_testing.h"

namespace athanor::kernels {
namespace {

using testing::kComputeTypes;
using testing::near;
using testing::normal;
using testing::on_any_threads;
using testing::same_bits;
using testing::whole_numbers;

// ---- routing
// ---------------------------------------------------------------------------------------------------

struct RouteCase {
  const char* name;
  int64_t num_tokens, num_experts;
  RouterOptions options;
  bool has_bias = true;
};
std::ostream& operator<<(std::ostream& out, const RouteCase& c) {
  return out << c.name;
}

const std::vector<RouteCase>& route_cases() {
  static const std::vector<RouteCase> all{
      {"no token", 0, 4, {}},
      {"one expert", 3, 1, {.num_experts_per_tok = 1}},
      {"plain", 131, 16, {.num_experts_per_tok = 4}},
      {"all experts", 7, 5, {.num_experts_per_tok = 5}},
      {"released shape",
       300,
       256,
       {.num_experts_per_tok = 8, .n_group = 8, .topk_group = 4, .routed_scaling_factor = 2.5}},
      {"groups of one expert", 40, 6, {.num_experts_per_tok = 2, .n_group = 6, .topk_group = 3}},
      {"all kept groups are needed", 40, 8, {.num_experts_per_tok = 4, .n_group = 4, .topk_group = 2}},
      {"not normalised", 40, 8, {.norm_topk_prob = false, .routed_scaling_factor = 1.7}},
      {"no bias", 40, 8, {}, false},
      {"softmax", 257, 16, {.score = RouterScore::kSoftmax, .num_experts_per_tok = 4}, false},
      {"softmax, not normalised", 30, 7, {.score = RouterScore::kSoftmax, .norm_topk_prob = false}, false},
  };
  return all;
}

struct Routed {
  at::Tensor ids, weights, scores;
};

Routed run_route(const at::Tensor& logits, const at::Tensor& bias, const RouterOptions& options) {
  Routed out{at::empty({logits.size(0), options.num_experts_per_tok}, at::kInt),
             at::empty({logits.size(0), options.num_experts_per_tok}, at::kFloat), at::empty_like(logits)};
  route(out.ids, out.weights, out.scores, logits, bias, options);
  return out;
}

at::Tensor bias_of(const RouteCase& c) {
  return c.has_bias ? normal("bias", {c.num_experts}) * 0.3 : at::Tensor();
}

TEST(Route, AgreesWithTheReference) {
  for (const RouteCase& c : route_cases()) {
    SCOPED_TRACE(::testing::Message() << c);
    const at::Tensor logits = normal("logits", {c.num_tokens, c.num_experts});
    const auto results = on_any_threads([&] {
      const Routed out = run_route(logits, bias_of(c), c.options);
      return std::vector<at::Tensor>{out.ids, out.weights, out.scores};
    });
    const auto expected = reference::route(logits, bias_of(c), c.options);
    EXPECT_TRUE(near(results[0], expected.expert_ids_TA, 0.0));
    EXPECT_TRUE(near(results[1], expected.weights_TA, 1e-6));
    EXPECT_TRUE(near(results[2], expected.scores_TE, 1e-6));
  }
}

TEST(Route, BackwardAgreesWithAutogradOfTheReferenceInFp64) {
  for (const RouteCase& c : route_cases())
    for (const bool with_dscores : {false, true}) {
      SCOPED_TRACE(::testing::Message() << c << (with_dscores ? ", with a gradient by the scores" : ""));
      const at::Tensor logits = normal("logits", {c.num_tokens, c.num_experts});
      const at::Tensor dweights = normal("dweights", {c.num_tokens, c.options.num_experts_per_tok});
      const at::Tensor dscores =
          with_dscores ? normal("dscores", {c.num_tokens, c.num_experts}) : at::Tensor();
      const Routed out = run_route(logits, bias_of(c), c.options);
      const at::Tensor dlogits = on_any_threads([&] {
        const at::Tensor result = at::empty_like(logits);
        route_backward(result, dweights, dscores, out.ids, out.scores, c.options);
        return std::vector<at::Tensor>{result};
      })[0];
      const at::Tensor leaf = logits.to(at::kDouble).set_requires_grad(true);
      const auto expected = reference::route(leaf, bias_of(c), c.options);
      at::Tensor loss = (expected.weights_TA * dweights.to(at::kDouble)).sum();
      if (with_dscores) loss = loss + (expected.scores_TE * dscores.to(at::kDouble)).sum();
      loss.backward();
      EXPECT_TRUE(near(dlogits, leaf.grad(), 2e-6));
    }
}

at::Tensor ids_of(const at::Tensor& logits, const at::Tensor& bias, const RouterOptions& options) {
  return run_route(logits, bias, options).ids;
}

TEST(Route, TiesGoToTheLowerExpert) {
  const at::Tensor equal = at::zeros({1, 8}, at::kFloat);
  EXPECT_TRUE(
      same_bits(ids_of(equal, {}, {.num_experts_per_tok = 3}), at::tensor({0, 1, 2}, at::kInt).view({1, 3})));
  const RouterOptions grouped{.num_experts_per_tok = 2, .n_group = 4, .topk_group = 2};
  EXPECT_TRUE(same_bits(ids_of(equal, {}, grouped), at::tensor({0, 1}, at::kInt).view({1, 2})));
}

TEST(Route, MaskedGroupsAreNotChosenEvenWhenTheKeptScoresAreNegative) {
  // Group 1 has the best two; with a mask of zero instead of minus infinity experts of group 0 would win.
  const at::Tensor bias = at::tensor({-3.0f, -3.0f, -3.0f, -2.0f, -2.0f, -2.5f}, at::kFloat);
  const RouterOptions options{.num_experts_per_tok = 3, .n_group = 2, .topk_group = 1};
  EXPECT_TRUE(same_bits(ids_of(at::zeros({1, 6}, at::kFloat), bias, options),
                        at::tensor({3, 4, 5}, at::kInt).view({1, 3})));
}

TEST(Route, TheBiasMovesTheChoiceButNotTheWeights) {
  const at::Tensor logits = at::tensor({2.0f, 0.0f, -1.0f}, at::kFloat).view({1, 3});
  const at::Tensor bias = at::tensor({0.0f, 0.0f, 5.0f}, at::kFloat);
  const Routed out = run_route(logits, bias, {.num_experts_per_tok = 2, .norm_topk_prob = false});
  EXPECT_TRUE(same_bits(out.ids, at::tensor({0, 2}, at::kInt).view({1, 2})));
  EXPECT_TRUE(near(out.weights, at::sigmoid(at::tensor({2.0f, -1.0f}, at::kFloat)).view({1, 2}), 1e-6));
}

TEST(Route, ANotANumberStillGivesValidIdsAndShowsInTheWeights) {
  const at::Tensor logits = at::full({2, 8}, std::numeric_limits<double>::quiet_NaN(), at::kFloat);
  const Routed out = run_route(logits, {}, {.num_experts_per_tok = 3, .n_group = 4, .topk_group = 2});
  EXPECT_TRUE(out.ids.ge(0).all().item<bool>());
  EXPECT_TRUE(out.ids.lt(8).all().item<bool>());
  EXPECT_TRUE(out.weights.isnan().all().item<bool>());
}

TEST(Route, ImpossibleOptionsAreRefused) {
  const at::Tensor logits = normal("logits", {2, 8});
  EXPECT_THROW(run_route(logits, {}, {.num_experts_per_tok = 9}), core::InternalError);
  EXPECT_THROW(run_route(logits, {}, {.num_experts_per_tok = 0}), core::InternalError);
  EXPECT_THROW(run_route(logits, {}, {.n_group = 3}), core::InternalError);
  EXPECT_THROW(run_route(logits, {}, {.n_group = 4, .topk_group = 5}), core::InternalError);
  EXPECT_THROW(run_route(logits, {}, {.num_experts_per_tok = 3, .n_group = 4, .topk_group = 1}),
               core::InternalError);
  EXPECT_THROW(run_route(logits, normal("bias", {7}), {}), core::InternalError);
}

// ---- permuting and combining
// -----------------------------------------------------------------------------------

struct PermuteCase {
  const char* name;
  int64_t num_tokens, num_chosen, num_experts, hidden;
  at::Tensor ids;
};
std::ostream& operator<<(std::ostream& out, const PermuteCase& c) {
  return out << c.name;
}

std::vector<PermuteCase> permute_cases() {
  const auto random = [](int64_t t, int64_t a, int64_t e) {
    return whole_numbers("ids", {t, a}, e, at::kInt);
  };
  const at::Tensor dropped = random(61, 3, 9) - 1;
  return {{"no token", 0, 2, 4, 8, random(0, 2, 4)},
          {"one of each", 1, 1, 1, 1, random(1, 1, 1)},
          {"primes", 131, 3, 7, 37, random(131, 3, 7)},
          {"more experts than slots", 5, 2, 64, 16, random(5, 2, 64)},
          {"all tokens to one expert", 50, 1, 6, 16, at::full({50, 1}, 4, at::kInt)},
          {"dropped slots", 61, 3, 8, 24, dropped},
          {"nothing kept", 9, 2, 8, 24, at::full({9, 2}, -1, at::kInt)},
          {"several pieces", 40000, 2, 16, 3, random(40000, 2, 16)}};
}

TEST(Permutation, RowsAreSortedByExpertAndTokensAscendWithin) {
  for (const PermuteCase& c : permute_cases()) {
    SCOPED_TRACE(::testing::Message() << c);
    Permutation p;
    on_any_threads([&] {
      p = permutation_by_expert(c.ids, c.num_experts);
      return std::vector<at::Tensor>{p.row_of_slot, p.token_of_row};
    });
    const auto* ids = c.ids.const_data_ptr<int32_t>();
    const auto* row_of_slot = p.row_of_slot.const_data_ptr<int32_t>();
    const auto* token_of_row = p.token_of_row.const_data_ptr<int32_t>();
    ASSERT_EQ(p.offsets.size(), static_cast<size_t>(c.num_experts) + 1);
    ASSERT_EQ(p.offsets.back(), p.token_of_row.size(0));
    std::vector<int64_t> next = p.offsets;
    for (int64_t slot = 0; slot < c.ids.numel(); ++slot) {
      ASSERT_EQ(row_of_slot[slot], ids[slot] < 0 ? -1 : next[static_cast<size_t>(ids[slot])]++)
          << "slot " << slot;
      if (ids[slot] >= 0) {
        ASSERT_EQ(token_of_row[row_of_slot[slot]], slot / c.num_chosen);
      }
    }
    for (int64_t e = 0; e < c.num_experts; ++e)
      ASSERT_EQ(next[static_cast<size_t>(e)], p.offsets[static_cast<size_t>(e) + 1]) << "expert " << e;
  }
}

TEST(Permutation, AnIdThatIsNoExpertIsRefused) {
  EXPECT_THROW(permutation_by_expert(at::full({2, 2}, 4, at::kInt), 4), core::InternalError);
  EXPECT_THROW(permutation_by_expert(at::full({2, 2}, -2, at::kInt), 4), core::InternalError);
  EXPECT_THROW(permutation_by_expert(at::full({2, 2}, 0, at::kLong), 4), core::InternalError);
}

// The permuted rows back at their slots; dropped slots are zero. Differentiable.
at::Tensor rows_by_slot(const at::Tensor& rows_PD, const Permutation& p, const PermuteCase& c) {
  const at::Tensor padding = at::zeros({1, rows_PD.size(1)}, rows_PD.options());
  const at::Tensor with_padding = at::concat({padding, rows_PD}, 0);
  return with_padding.index_select(0, p.row_of_slot.to(at::kLong) + 1)
      .view({c.num_tokens, c.num_chosen, c.hidden});
}

TEST(Permute, CopiesRowsAndItsBackwardSumsThem) {
  for (const PermuteCase& c : permute_cases())
    for (const auto dtype : kComputeTypes) {
      SCOPED_TRACE(::testing::Message() << c << ", " << c10::toString(dtype));
      const Permutation p = permutation_by_expert(c.ids, c.num_experts);
      const at::Tensor x = normal("x", {c.num_tokens, c.hidden}, dtype);
      const at::Tensor dx_rows = normal("dx", {p.offsets.back(), c.hidden}, dtype);
      const auto results = on_any_threads([&] {
        const at::Tensor rows = at::empty({p.offsets.back(), c.hidden}, x.options()), dx = at::empty_like(x);
        permute(rows, x, p);
        permute_backward(dx, dx_rows, p);
        return std::vector<at::Tensor>{rows, dx};
      });
      EXPECT_TRUE(same_bits(results[0], x.index_select(0, p.token_of_row.to(at::kLong))));
      EXPECT_TRUE(
          near(results[1], rows_by_slot(dx_rows.to(at::kDouble), p, c).sum(1), testing::rounding_of(dtype)));
    }
}

TEST(Combine, ForwardAndBackwardAgreeWithTheReference) {
  for (const PermuteCase& c : permute_cases())
    for (const auto dtype : kComputeTypes) {
      SCOPED_TRACE(::testing::Message() << c << ", " << c10::toString(dtype));
      const Permutation p = permutation_by_expert(c.ids, c.num_experts);
      const at::Tensor rows = normal("rows", {p.offsets.back(), c.hidden}, dtype);
      const at::Tensor weights = normal("weights", {c.num_tokens, c.num_chosen});
      const at::Tensor dy = normal("dy", {c.num_tokens, c.hidden}, dtype);
      const auto results = on_any_threads([&] {
        const at::Tensor y = at::empty_like(dy), drows = at::empty_like(rows),
                         dweights = at::empty_like(weights);
        combine(y, rows, weights, p);
        combine_backward(drows, dweights, dy, rows, weights, p);
        return std::vector<at::Tensor>{y, drows, dweights};
      });
      const at::Tensor leaf_rows = rows.to(at::kDouble).clone().set_requires_grad(true);
      const at::Tensor leaf_weights = weights.to(at::kDouble).set_requires_grad(true);
      const at::Tensor expected = reference::combine(rows_by_slot(leaf_rows, p, c), leaf_weights);
      (expected * dy.to(at::kDouble)).sum().backward();
      EXPECT_TRUE(near(results[0], expected, testing::rounding_of(dtype)));
      EXPECT_TRUE(near(results[1], leaf_rows.grad(), testing::rounding_of(dtype)));
      EXPECT_TRUE(near(results[2], leaf_weights.grad(), 2e-6));
    }
}

TEST(Combine, ARowDoesNotDependOnTheOthers) {
  const at::Tensor ids = whole_numbers("ids", {65, 3}, 5, at::kInt), rows = normal("rows", {195, 40});
  const at::Tensor weights = normal("weights", {65, 3});
  const Permutation p = permutation_by_expert(ids, 5);
  const at::Tensor all = at::empty({65, 40}, at::kFloat), alone = at::empty({1, 40}, at::kFloat);
  combine(all, rows, weights, p);
  for (int64_t t = 0; t < 65; ++t) {
    const Permutation one = permutation_by_expert(ids.narrow(0, t, 1).contiguous(), 5);
    const at::Tensor own_rows = at::empty({3, 40}, at::kFloat);
    for (int64_t a = 0; a < 3; ++a)
      own_rows[one.row_of_slot[a].item<int32_t>()].copy_(rows[p.row_of_slot[t * 3 + a].item<int32_t>()]);
    combine(alone, own_rows, weights.narrow(0, t, 1).contiguous(), one);
    ASSERT_TRUE(same_bits(alone, all.narrow(0, t, 1))) << "token " << t;
  }
}

TEST(Combine, WrongArgumentsAreNamed) {
  const Permutation p = permutation_by_expert(whole_numbers("ids", {4, 2}, 3, at::kInt), 3);
  const at::Tensor y = at::zeros({4, 8}, at::kFloat), rows = at::zeros({8, 8}, at::kFloat);
  EXPECT_NO_THROW(combine(y, rows, at::zeros({4, 2}, at::kFloat), p));
  EXPECT_THROW(combine(y, rows, at::zeros({4, 3}, at::kFloat), p), core::InternalError);
  EXPECT_THROW(combine(y, rows.narrow(0, 0, 7), at::zeros({4, 2}, at::kFloat), p), core::InternalError);
  EXPECT_THROW(combine(at::zeros({3, 8}, at::kFloat), rows, at::zeros({3, 2}, at::kFloat), p),
               core::InternalError);
  EXPECT_THROW(permute(rows, y.to(at::kBFloat16), p), core::InternalError);
}

// ---- embedding
// -------------------------------------------------------------------------------------------------

TEST(Embedding, ForwardCopiesAndBackwardAddsInTokenOrder) {
  for (const auto dtype : kComputeTypes)
    for (const int64_t hidden : {1, 37, 300}) {
      SCOPED_TRACE(::testing::Message() << c10::toString(dtype) << ", hidden " << hidden);
      const at::Tensor ids = whole_numbers("ids", {131}, 11), w = normal("w", {11, hidden}, dtype);
      const at::Tensor dy = normal("dy", {131, hidden}, dtype), before = normal("dw", {11, hidden});
      const auto results = on_any_threads([&] {
        const at::Tensor y = at::empty_like(dy), dw = before.clone();
        embedding(y, ids, w);
        embedding_backward(dw, dy, ids);
        return std::vector<at::Tensor>{y, dw};
      });
      EXPECT_TRUE(same_bits(results[0], w.index_select(0, ids)));
      const at::Tensor expected = before.clone(), wide = dy.to(at::kFloat);
      for (int64_t t = 0; t < 131; ++t) expected[ids[t].item<int64_t>()].add_(wide[t]);
      EXPECT_TRUE(same_bits(results[1], expected));
    }
}

TEST(Embedding, PartsOfTheTableGiveTheWhole) {
  const at::Tensor ids = whole_numbers("ids", {70}, 12), w = normal("w", {12, 9}), dy = normal("dy", {70, 9});
  const at::Tensor whole = at::empty_like(dy), dw = at::zeros_like(w);
  embedding(whole, ids, w);
  embedding_backward(dw, dy, ids);
  at::Tensor sum = at::zeros_like(dy);
  for (int64_t first = 0; first < 12; first += 4) {
    const at::Tensor y = at::empty_like(dy), part = w.narrow(0, first, 4), dpart = at::zeros_like(part);
    embedding(y, ids, part, {first, 12});
    const at::Tensor is_outside =
        ((ids >= first) * (ids < first + 4)).unsqueeze(1).to(at::kBool).logical_not();
    EXPECT_TRUE(same_bits(y, whole.masked_fill(is_outside, 0.0)));
    sum += y;
    embedding_backward(dpart, dy, ids, {first, 12});
    EXPECT_TRUE(same_bits(dpart, dw.narrow(0, first, 4)));
  }
  EXPECT_TRUE(same_bits(sum, whole));
  EXPECT_THROW(embedding(whole, ids, w.narrow(0, 0, 4), {9, 12}), core::InternalError);
  EXPECT_THROW(embedding(whole, ids, w.narrow(0, 0, 4), {0, 8}), core::DataError);
}

TEST(Embedding, TheFirstBadIdIsNamedWithItsPositionAndTheVocabulary) {
  const at::Tensor w = normal("w", {11, 4}), y = at::empty({4, 4}, at::kFloat);
  for (const int64_t bad : {int64_t{11}, int64_t{-1}, int64_t{1} << 40}) {
    const at::Tensor ids = at::tensor({int64_t{3}, int64_t{10}, bad, int64_t{99}}, at::kLong);
    try {
      embedding(y, ids, w);
      FAIL() << "id " << bad << " was taken";
    } catch (const core::DataError& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find("token id " + std::to_string(bad) + " at position 2"), std::string::npos)
          << message;
      EXPECT_NE(message.find("11 entries"), std::string::npos) << message;
    }
    EXPECT_THROW(embedding_backward(w, y, ids), core::DataError);
  }
}

}  // namespace
}  // namespace athanor::kernels
