// The collectives of tensor parallelism and the layers built on them, values and gradients, against the same
// on one rank with whole weights. Every rank makes the same whole tensors and looks at its own part.
#include <functional>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/rng.h"
#include "kernels/ops.h"
#include "model/autograd.h"
#include "model/collectives.h"
#include "model/functions.h"
#include "model/spec.h"
#include "tests/parallel/mpi_test_main.h"

namespace athanor::model {
namespace {

constexpr int64_t kTokens = 24, kHidden = 20, kWidth = 16, kVocabulary = 28;

parallel::Communicator& comm() {
  return tests::session().world();
}
Share share() {
  return {comm().rank(), comm().size()};
}

at::Tensor random(const std::string& name, std::vector<int64_t> shape, at::ScalarType dtype = at::kFloat) {
  const core::CounterRng rng(3, name);
  at::Tensor values = at::empty(shape, at::kDouble);
  for (int64_t i = 0; i < values.numel(); ++i) values.mutable_data_ptr<double>()[i] = rng.normal(i);
  return values.to(dtype);
}

// This rank's part of a tensor that is cut along `dim`.
at::Tensor own(const at::Tensor& whole, int64_t dim) {
  const int64_t count = whole.size(dim) / comm().size();
  return whole.narrow(dim, comm().rank() * count, count).contiguous();
}

void expect_near(const at::Tensor& a, const at::Tensor& b, const char* what) {
  ASSERT_TRUE(a.defined() && a.sizes() == b.sizes()) << what;
  const double scale = 1 + b.abs().max().item<double>();
  EXPECT_LE((a - b).abs().max().item<double>(), 2e-6 * scale) << what << ", rank " << comm().rank();
}

// A parameter with a value and room for its gradient.
Parameter bound(Parameter parameter, const at::Tensor& value) {
  parameter.value = value;
  parameter.gradient = at::zeros(value.sizes(), at::kFloat);
  return parameter;
}

// d sum(f(x) * dy) / dx.
at::Tensor gradient_by(const at::Tensor& x, const at::Tensor& dy,
                       const std::function<at::Tensor(const at::Tensor&)>& f) {
  const at::Tensor leaf = as_leaf(x);
  return backpropagate({f(leaf)}, {dy}, {leaf}).front();
}

// The derivative of sum(f(x) * dy), summed over all ranks, by each of this rank's x, from differences: all
// ranks move theirs, one after the other.
at::Tensor numeric_gradient(const at::Tensor& x, const at::Tensor& dy, double share_of_sum,
                            const std::function<at::Tensor(const at::Tensor&)>& f) {
  const double step = 1e-5;
  at::Tensor gradient = at::zeros(x.sizes(), at::kDouble);
  const auto sum_at = [&](const at::Tensor& moved) {
    const at::Tensor mine = (f(moved) * dy).sum().view({1}).clone();
    const at::Tensor all = at::empty({comm().size()}, at::kDouble);
    comm().all_gather(all, mine).wait();
    return all.sum().item<double>() * share_of_sum;
  };
  for (int rank = 0; rank < comm().size(); ++rank)
    for (int64_t i = 0; i < x.numel(); ++i) {
      at::Tensor up = x.clone(), down = x.clone();
      if (rank == comm().rank()) {
        up.mutable_data_ptr<double>()[i] += step;
        down.mutable_data_ptr<double>()[i] -= step;
      }
      const double slope = (sum_at(up) - sum_at(down)) / (2 * step);
      if (rank == comm().rank()) gradient.mutable_data_ptr<double>()[i] = slope;
    }
  return gradient;
}

TEST(GatherReplicated, HasTheGradientThatDifferencesGiveInFp64) {
  const int64_t t = 3;
  const at::Tensor x = own(random("x", {t * comm().size(), 4}, at::kDouble), 0);
  const at::Tensor dy = random("dy", {t * comm().size(), 4}, at::kDouble);
  const auto f = [](const at::Tensor& mine) {
    const at::Tensor all = gather_replicated(mine, comm());
    return all * all.sin();  // every rank computes the same
  };
  // One of the equal sums is meant.
  const at::Tensor expected = numeric_gradient(x, dy, 1.0 / comm().size(), f);
  EXPECT_LE((gradient_by(x, dy, f) - expected).abs().max().item<double>(), 1e-8);
}

TEST(GatherTokens, PutsRowsInRankOrderAndSumsTheirGradients) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const at::Tensor whole = random("x", {kTokens, 5}, dtype);
    EXPECT_TRUE(gather_tokens(own(whole, 0), comm()).equal(whole));
    // Whole numbers, so that any order of the sum is exact.
    const at::Tensor dy = at::arange(kTokens * 5, at::kFloat).view({kTokens, 5}).remainder(13).to(dtype);
    const at::Tensor dx = gradient_by(own(whole, 0), dy * (comm().rank() + 1),
                                      [](const at::Tensor& x) { return gather_tokens(x, comm()); });
    EXPECT_TRUE(dx.equal(own(dy, 0) * (comm().size() * (comm().size() + 1) / 2)));
  }
}

TEST(GatherTokens, TakesAViewOfSomeColumns) {
  const at::Tensor whole = random("x", {kTokens, 9});
  EXPECT_TRUE(gather_tokens(own(whole, 0).narrow(1, 4, 3), comm()).equal(whole.narrow(1, 4, 3)));
}

TEST(ScatterSumTokens, SumsOnceInFp32AndGathersGradients) {
  at::Tensor expected = at::zeros({kTokens, 5}, at::kFloat);
  for (int r = 0; r < comm().size(); ++r)
    expected += random("x" + std::to_string(r), {kTokens, 5}, at::kBFloat16);
  const at::Tensor term = random("x" + std::to_string(comm().rank()), {kTokens, 5}, at::kBFloat16);
  const at::Tensor sum = scatter_sum_tokens(term, comm());
  // One rounding: half a unit in the last place of 8 bits.
  EXPECT_LE((sum.to(at::kFloat) - own(expected, 0)).abs().max().item<double>(),
            expected.abs().max().item<double>() / 256);
  const at::Tensor dy = random("dy", {kTokens, 5}, at::kBFloat16);
  EXPECT_TRUE(gradient_by(term, own(dy, 0), [](const at::Tensor& x) {
                return scatter_sum_tokens(x, comm());
              }).equal(dy));
}

TEST(ScatterSumTokens, TokensThatCannotBeDividedAreAnError) {
  if (comm().size() == 1) return;  // one rank divides everything
  EXPECT_THROW(scatter_sum_tokens(random("x", {kTokens + 1, 5}), comm()), core::InternalError);
}

TEST(OneRank, GetsItsInputBackAndNoCopy) {
  if (comm().size() > 1) return;  // of the axis of degree 1
  const at::Tensor x = random("x", {4, 5});
  EXPECT_TRUE(gather_tokens(x, comm()).is_same(x));
  EXPECT_TRUE(gather_replicated(x, comm()).is_same(x));
  EXPECT_TRUE(scatter_sum_tokens(x, comm()).is_same(x));
}

TEST(ParallelLinear, ColumnThenRowIsTheLayerOfOneRank) {
  const at::Tensor x = random("x", {kTokens, kHidden}), dy = random("dy", {kTokens, kHidden});
  const at::Tensor w1 = random("w1", {kWidth, kHidden}), b1 = random("b1", {kWidth});
  const at::Tensor w2 = random("w2", {kHidden, kWidth}), b2 = random("b2", {kHidden});
  Parameter up = bound(Parameter::whole("up", {kWidth, kHidden}), w1), up_bias = bound({}, b1);
  Parameter down = bound(Parameter::whole("down", {kHidden, kWidth}), w2), down_bias = bound({}, b2);
  at::Tensor y;
  const at::Tensor dx = gradient_by(x, dy, [&](const at::Tensor& leaf) {
    return y = linear(linear(leaf, up, &up_bias), down, &down_bias);
  });

  Parameter my_up = bound(Parameter::cut("up", {kWidth, kHidden}, 0, share()), own(w1, 0));
  Parameter my_down = bound(Parameter::cut("down", {kHidden, kWidth}, 1, share()), own(w2, 1));
  Parameter my_up_bias = bound({}, own(b1, 0)), my_down_bias = bound({}, b2);
  at::Tensor my_y;
  const at::Tensor my_dx = gradient_by(own(x, 0), own(dy, 0), [&](const at::Tensor& leaf) {
    const at::Tensor h = column_parallel_linear(leaf, my_up, &my_up_bias, comm());
    return my_y = row_parallel_linear(h, my_down, &my_down_bias, comm());
  });
  expect_near(my_y.detach(), own(y.detach(), 0), "y");
  expect_near(my_dx, own(dx, 0), "dx");
  expect_near(my_up.gradient, own(up.gradient, 0), "the gradient of the rows");
  expect_near(my_up_bias.gradient, own(up_bias.gradient, 0), "the gradient of their bias");
  expect_near(my_down.gradient, own(down.gradient, 1), "the gradient of the columns");
  EXPECT_EQ(my_down_bias.has_gradient, comm().rank() == 0);
  if (comm().rank() == 0)
    expect_near(my_down_bias.gradient, down_bias.gradient, "the gradient of their bias");
}

TEST(ParallelLinear, AFrozenWeightGetsNoGradientAndPassesOneOn) {
  const at::Tensor x = random("x", {kTokens, kHidden}), w = random("w1", {kWidth, kHidden});
  const at::Tensor dy = random("dy", {kTokens, kWidth});
  Parameter whole = bound({}, w), mine = bound({}, own(w, 0));
  mine.gradient = at::Tensor();
  const at::Tensor dx = gradient_by(x, dy, [&](const at::Tensor& leaf) { return linear(leaf, whole); });
  const at::Tensor my_dx = gradient_by(own(x, 0), own(dy, 1), [&](const at::Tensor& leaf) {
    return column_parallel_linear(leaf, mine, nullptr, comm());
  });
  expect_near(my_dx, own(dx, 0), "dx");
  EXPECT_FALSE(mine.has_gradient);
}

std::vector<int64_t> some_ids() {
  const core::CounterRng rng(3, "ids");
  std::vector<int64_t> ids;
  for (int64_t t = 0; t < kTokens; ++t) ids.push_back(static_cast<int64_t>(rng.below(t, kVocabulary)));
  return ids;
}

TEST(VocabularyParallel, TheEmbeddingIsThatOfOneRank) {
  const at::Tensor table = random("table", {kVocabulary, kHidden}), dy = random("dy", {kTokens, kHidden});
  const at::Tensor ids = at::tensor(some_ids(), at::kLong), anchor = at::zeros({1}, at::kFloat);
  Parameter whole = bound({}, table), mine = bound({}, own(table, 0));
  at::Tensor y, my_y;
  gradient_by(anchor, dy, [&](const at::Tensor& leaf) { return y = embedding(leaf, ids, whole); });
  gradient_by(anchor, own(dy, 0), [&](const at::Tensor& leaf) {
    return my_y = vocabulary_parallel_embedding(leaf, ids, mine, comm());
  });
  EXPECT_TRUE(my_y.detach().equal(own(y.detach(), 0)));
  EXPECT_TRUE(mine.gradient.equal(own(whole.gradient, 0)));
}

TEST(VocabularyParallel, TheLossIsThatOfOneRankAndTheSameBitsOnAll) {
  const at::Tensor x = random("x", {kTokens, kHidden}), w = random("w", {kVocabulary, kHidden});
  std::vector<int64_t> label_values = some_ids();
  label_values[2] = label_values[17] = kernels::kIgnoredLabel;
  const at::Tensor labels = at::tensor(label_values, at::kLong), one = at::ones({}, at::kFloat);
  const at::Tensor loss = at::empty({kTokens}, at::kFloat), my_loss = at::empty({kTokens}, at::kFloat);
  Parameter whole = bound({}, w), mine = bound({}, own(w, 0));
  const at::Tensor dx = gradient_by(
      x, one, [&](const at::Tensor& leaf) { return vocabulary_loss(leaf, whole, labels, 0.25, loss); });
  const at::Tensor my_dx = gradient_by(own(x, 0), one, [&](const at::Tensor& leaf) {
    return vocabulary_parallel_loss(leaf, mine, labels, 0.25, my_loss, comm());
  });
  expect_near(my_loss, loss, "loss");
  expect_near(my_dx, own(dx, 0), "dx");
  expect_near(mine.gradient, own(whole.gradient, 0), "dw");
  const at::Tensor all = at::empty({comm().size(), kTokens}, at::kFloat);
  comm().all_gather(all, my_loss).wait();
  for (int r = 0; r < comm().size(); ++r) EXPECT_TRUE(all.select(0, r).equal(my_loss)) << "rank " << r;
  // Without a gradient.
  const at::Tensor again = at::empty({kTokens}, at::kFloat);
  vocabulary_parallel_loss(own(x, 0), mine, labels, 0.25, again, comm());
  expect_near(again, loss, "loss without a gradient");
}

TEST(Share, IsABoxOfTheWholeTensor) {
  const HfPart part = share_of({"w", 0, {6, 8}}, 1, {.index = 1, .count = 4});
  EXPECT_EQ(part.shape, (std::vector<int64_t>{6, 2}));
  EXPECT_EQ(part.global_shape, (std::vector<int64_t>{6, 8}));
  EXPECT_EQ(part.offset, (std::vector<int64_t>{0, 2}));
  EXPECT_TRUE(share_of({"w", 0, {6, 8}}, 1, {}).is_whole());
  EXPECT_THROW(share_of({"w", 0, {6, 8}}, 0, {.index = 0, .count = 4}), core::InternalError);
}

TEST(CuttingAModel, IsRefusedWithBothNumbers) {
  ModelSpec spec;
  spec.architecture = Architecture::kQwen3Moe;
  spec.vocab_size = 130;
  spec.num_attention_heads = 12;
  spec.num_key_value_heads = 2;
  spec.intermediate_size = 90;
  spec.num_hidden_layers = 2;
  spec.n_routed_experts = 4;
  spec.n_shared_experts = 1;
  spec.moe_intermediate_size = 30;
  spec.mlp_only_layers = {0};
  EXPECT_TRUE(problems_of_cutting(spec, 1).empty());
  EXPECT_TRUE(problems_of_cutting(spec, 2).empty());
  EXPECT_EQ(problems_of_cutting(spec, 4),
            (std::vector<std::string>{
                "parallel.tensor 4 does not divide vocab_size 130",
                "parallel.tensor 4 does not divide num_key_value_heads 2",
                "parallel.tensor 4 does not divide intermediate_size 90",
                "parallel.tensor 4 does not divide moe_intermediate_size x n_shared_experts = 30"}));
  spec.mlp_only_layers.clear();
  spec.n_shared_experts = 0;
  EXPECT_EQ(problems_of_cutting(spec, 4).size(), 2u) << "no layer uses intermediate_size, nothing is shared";
  EXPECT_EQ(problems_of_cutting(spec, 5).size(), 2u) << "heads 12, key heads 2";
}

}  // namespace
}  // namespace athanor::model
