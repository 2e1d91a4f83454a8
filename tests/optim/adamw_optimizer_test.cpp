#include "optim/adamw_optimizer.h"

#include <cmath>

#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "optim/gradient_norm.h"
#include "parallel/flat_layout.h"

namespace athanor::optim {
namespace {

parallel::FlatLayout layout() {
  return parallel::FlatLayout({{"w", {40, 30}}, {"norm", {40}}, {"v", {9, 100}}});
}

std::vector<kernels::ElementRange> decay_of(const parallel::ElementRange& slice) {
  return layout().ranges(slice, [](const parallel::FlatParameter& p) { return p.shape.size() >= 2; });
}

/// Trains `num_steps` steps with the flat buffer in `num_shards` slices; returns the whole master.
at::Tensor train(int num_shards, at::ScalarType moments, const at::Tensor& start,
                 const std::vector<at::Tensor>& gradients) {
  const at::Tensor master = start.clone();
  std::vector<OptimizerSlice> slices;
  for (int s = 0; s < num_shards; ++s) {
    const auto range = layout().shard(num_shards, s);
    slices.push_back({fmt::format("block.{}", s), master.narrow(0, range.begin, range.end - range.begin),
                      decay_of(range)});
  }
  AdamWOptimizer optimizer({.moment_dtype = moments}, slices);
  for (const at::Tensor& gradient : gradients) {
    std::vector<StepInput> inputs;
    for (int s = 0; s < num_shards; ++s) {
      const auto range = layout().shard(num_shards, s);
      inputs.push_back({gradient.narrow(0, range.begin, range.end - range.begin), {}});
    }
    optimizer.step(inputs, 1e-2, 0.7);
  }
  EXPECT_EQ(optimizer.num_steps(), static_cast<int64_t>(gradients.size()));
  return master;
}

TEST(AdamWOptimizer, ShardingDoesNotShow) {
  const int64_t size = layout().padded_size(8);
  const at::Tensor start = at::randn({size});
  std::vector<at::Tensor> gradients;
  for (int step = 0; step < 5; ++step) gradients.push_back(at::randn({size}));
  for (const at::ScalarType moments : {at::kFloat, at::kBFloat16}) {
    const at::Tensor whole = train(1, moments, start.narrow(0, 0, layout().padded_size(1)), [&] {
      std::vector<at::Tensor> cut;
      for (const auto& g : gradients) cut.push_back(g.narrow(0, 0, layout().padded_size(1)));
      return cut;
    }());
    for (const int num_shards : {2, 4, 8}) {
      const int64_t padded = layout().padded_size(num_shards);
      std::vector<at::Tensor> cut;
      for (const auto& g : gradients) cut.push_back(g.narrow(0, 0, padded));
      const at::Tensor sharded = train(num_shards, moments, start.narrow(0, 0, padded), cut);
      EXPECT_TRUE(
          at::equal(sharded.narrow(0, 0, layout().used_size()), whole.narrow(0, 0, layout().used_size())));
    }
  }
}

TEST(AdamWOptimizer, StateSavedAndLoadedContinuesWithTheSameBits) {
  const at::Tensor start = at::randn({1000});
  const std::vector<at::Tensor> gradients = {at::randn({1000}), at::randn({1000}), at::randn({1000})};
  for (const at::ScalarType moments : {at::kFloat, at::kBFloat16}) {
    const AdamWHyper hyper{.moment_dtype = moments};
    AdamWOptimizer straight(hyper, {{"a", start.clone(), {{0, 500}}}});
    AdamWOptimizer stopped(hyper, {{"a", start.clone(), {{0, 500}}}});
    for (int step = 0; step < 2; ++step) {
      straight.step({{gradients[step], {}}}, 1e-2, 1);
      stopped.step({{gradients[step], {}}}, 1e-2, 1);
    }
    AdamWOptimizer resumed(hyper, {{"a", at::zeros({1000}), {{0, 500}}}});
    const auto from = stopped.state(), to = resumed.state();
    ASSERT_EQ(to.size(), 3u);
    for (size_t i = 0; i < to.size(); ++i) {
      EXPECT_EQ(to[i].kind, from[i].kind);
      to[i].values.copy_(from[i].values);
    }
    resumed.set_num_steps(stopped.num_steps());
    straight.step({{gradients[2], {}}}, 1e-2, 1);
    resumed.step({{gradients[2], {}}}, 1e-2, 1);
    for (size_t i = 0; i < to.size(); ++i)
      EXPECT_TRUE(at::equal(straight.state()[i].values, resumed.state()[i].values)) << to[i].kind;
  }
}

TEST(AdamWOptimizer, ComputeWeightsAreTheCastOfTheMaster) {
  AdamWOptimizer optimizer({}, {{"a", at::randn({700}), {}}});
  const at::Tensor compute = at::zeros({700}, at::kBFloat16);
  optimizer.step({{at::randn({700}), compute}}, 1e-2, 1);
  EXPECT_TRUE(at::equal(compute, optimizer.slices()[0].master.to(at::kBFloat16)));
}

TEST(AdamWOptimizer, ImpossibleSettingsAreRefused) {
  const at::Tensor master = at::zeros({10});
  const auto make = [&](const AdamWHyper& hyper) { AdamWOptimizer(hyper, {{"a", master, {}}}); };
  EXPECT_THROW(make({.beta1 = 1.0}), core::ConfigError);
  EXPECT_THROW(make({.beta2 = -0.1}), core::ConfigError);
  EXPECT_THROW(make({.eps = -1}), core::ConfigError);
  EXPECT_THROW(make({.weight_decay = NAN}), core::ConfigError);
  EXPECT_THROW(make({.moment_dtype = at::kHalf}), core::ConfigError);
  const auto slices = [](std::vector<OptimizerSlice> given) { AdamWOptimizer({}, std::move(given)); };
  EXPECT_THROW(slices({{"a", master, {}}, {"a", master, {}}}), core::InternalError);
  EXPECT_THROW(slices({{"a", master, {{0, 11}}}}), core::InternalError);
  EXPECT_THROW(slices({{"a", master, {{4, 6}, {5, 7}}}}), core::InternalError);
  EXPECT_THROW(slices({{"a", at::zeros({2, 5}), {}}}), core::InternalError);
  AdamWOptimizer optimizer({}, {{"a", master, {}}});
  EXPECT_THROW(optimizer.step({}, 1e-3, 1), core::InternalError);
  EXPECT_THROW(optimizer.step({{at::zeros({10}), {}}}, 1e-3, NAN), core::InternalError);
}

TEST(GradientNorm, ClipsLikeTorch) {
  EXPECT_EQ((GradientNorm{2.0}.clip_scale(0.5)), 0.5 / (2.0 + 1e-6));
  EXPECT_EQ((GradientNorm{0.1}.clip_scale(0.5)), 1.0);
  EXPECT_EQ((GradientNorm{100}.clip_scale(0)), 1.0);
  EXPECT_THROW(GradientNorm{NAN}.clip_scale(1), core::InternalError);
}

}  // namespace
}  // namespace athanor::optim
