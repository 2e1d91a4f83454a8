// Linear layers on E4M3 tiles: output and both gradients against the plain twin of the kernels.
#include <ATen/ops/full.h>
#include <c10/core/GradMode.h>

#include "kernels/cpu/tile_engine.h"
#include "kernels/reference/fp8.h"
#include "kernels/reference/plain_ops.h"
#include "model/autograd.h"
#include "model/functions.h"
#include "tests/kernels/tensor_testing.h"

namespace athanor::model {
namespace {

using namespace kernels::testing;
using kernels::Fp8Options;
using kernels::Fp8Scale;
using kernels::Fp8Tiles;
namespace reference = kernels::reference;

constexpr int64_t kTokens = 150, kInputs = 140, kOutputs = 133;

reference::QuantisedElements transposed(const reference::QuantisedElements& x) {
  return {x.codes.t(), x.values.t(), x.scales.t()};
}

void bind(Parameter& weight, const at::Tensor& value, Fp8Scale scale) {
  weight.quantised = kernels::quantise(value, Fp8Tiles::kBlock, {.scale = scale}, kernels::Fp8Keep::kExact);
  weight.gradient = at::full(value.sizes(), 0.5);
  weight.has_gradient = true;
}

/// What a layer must give for one weight and its rows.
struct Expected {
  at::Tensor y, dx, dw;
};
Expected expected_of(const at::Tensor& x, const at::Tensor& w, const at::Tensor& dy, Fp8Scale scale,
                     double before = 0.5) {
  const Fp8Options options{.scale = scale}, gradient{.scale = scale, .floor = kernels::kFp8GradientFloor};
  const auto qx = reference::quantise(x, Fp8Tiles::kRow, options);
  const auto qw = reference::quantise(w, Fp8Tiles::kBlock, options);
  // With power-of-two scales the tiles along tokens are cut from the codes that were kept.
  const at::Tensor kept = scale == Fp8Scale::kPowerOfTwo ? qx.values * qx.scales : x;
  const auto tokens_of_x = reference::quantise(kept, Fp8Tiles::kToken, options);
  return {
      reference::fp8_product(qx, transposed(qw), scale).to(at::kBFloat16),
      reference::fp8_product(reference::quantise(dy, Fp8Tiles::kRow, gradient), qw, scale).to(at::kBFloat16),
      reference::fp8_product(transposed(reference::quantise(dy, Fp8Tiles::kToken, gradient)), tokens_of_x,
                             scale, at::full(w.sizes(), before))};
}

/// Equal bits where products are chains of ours; else equal within rounding.
void expect_equal(const at::Tensor& got, const at::Tensor& expected) {
  if (kernels::cpu::tile_engine())
    EXPECT_TRUE(near(got, expected, rounding_of(got.scalar_type()) * 10));
  else
    EXPECT_TRUE(same_bits(got, expected));
}

class Fp8Linear : public ::testing::TestWithParam<Fp8Scale> {};
INSTANTIATE_TEST_SUITE_P(Scales, Fp8Linear, ::testing::Values(Fp8Scale::kPowerOfTwo, Fp8Scale::kFp32),
                         [](const auto& test) {
                           return test.param == Fp8Scale::kPowerOfTwo ? "power_of_two" : "fp32";
                         });

TEST_P(Fp8Linear, GivesTheThreeProducts) {
  const at::Tensor x = normal("x", {kTokens, kInputs}, at::kBFloat16),
                   w = normal("w", {kOutputs, kInputs}, at::kBFloat16),
                   dy = normal("dy", {kTokens, kOutputs}, at::kBFloat16) * 1e-7;
  const Expected expected = expected_of(x, w, dy, GetParam());
  Parameter weight = Parameter::whole("w", {kOutputs, kInputs});
  bind(weight, w, GetParam());
  const at::Tensor input = as_leaf(x), y = linear(input, weight);
  expect_equal(y.detach(), expected.y);
  expect_equal(backpropagate({y}, {dy}, {input})[0], expected.dx);
  expect_equal(weight.gradient, expected.dw);

  c10::AutoGradMode recording(false);
  EXPECT_TRUE(same_bits(linear(x, weight), y.detach())) << "without a backward pass";
}

TEST_P(Fp8Linear, BiasIsAddedAndGetsItsGradient) {
  const at::Tensor x = normal("x", {kTokens, kInputs}, at::kBFloat16),
                   w = normal("w", {kOutputs, kInputs}, at::kBFloat16),
                   dy = normal("dy", {kTokens, kOutputs}, at::kBFloat16);
  Parameter weight = Parameter::whole("w", {kOutputs, kInputs}), bias = Parameter::whole("b", {kOutputs});
  bind(weight, w, GetParam());
  weight.gradient = at::Tensor();  // frozen
  bias.value = normal("b", {kOutputs}, at::kBFloat16);
  bias.gradient = at::empty({kOutputs});
  const at::Tensor input = as_leaf(x), y = linear(input, weight, &bias);
  const at::Tensor without = linear(x, weight);
  EXPECT_TRUE(near(y.detach(), without.to(at::kFloat) + bias.value.to(at::kFloat), 1e-2));
  backpropagate({y}, {dy}, {input});
  const at::Tensor sums = at::empty({kOutputs});
  kernels::sum_rows(sums, dy);
  EXPECT_TRUE(same_bits(bias.gradient, sums));
  EXPECT_FALSE(weight.gradient.defined());
}

TEST_P(Fp8Linear, ARecalledInputGivesTheSameBits) {
  const at::Tensor x = normal("x", {kTokens, kInputs}, at::kBFloat16),
                   w = normal("w", {kOutputs, kInputs}, at::kBFloat16),
                   dy = normal("dy", {kTokens, kOutputs}, at::kBFloat16);
  const auto gradient = [&](const Recall& recall) {
    Parameter weight = Parameter::whole("w", {kOutputs, kInputs});
    bind(weight, w, GetParam());
    const at::Tensor input = as_leaf(x), y = linear(input, weight, nullptr, recall);
    backpropagate({y}, {dy}, {input});
    return weight.gradient;
  };
  EXPECT_TRUE(same_bits(gradient([&] { return x; }), gradient({})));
}

/// The sum over sources of what every (expert, source) gives as a layer of its own.
void expect_grouped(const RowGroups& groups, Fp8Scale scale) {
  const int64_t num_experts = groups.num_groups();
  const at::Tensor x = normal("x", {kTokens, kInputs}, at::kBFloat16),
                   w = normal("w", {num_experts, kOutputs, kInputs}, at::kBFloat16),
                   dy = normal("dy", {kTokens, kOutputs}, at::kBFloat16);
  Parameter weight;
  weight.shape = {num_experts, kOutputs, kInputs};
  bind(weight, w, scale);
  weight.has_gradient = false;
  const at::Tensor input = as_leaf(x), y = grouped_linear(input, weight, groups);
  const at::Tensor dx = backpropagate({y}, {dy}, {input})[0];
  for (int64_t e = 0; e < num_experts; ++e) {
    std::vector<at::Tensor> terms;
    for (int64_t s = 0; s < groups.num_sources; ++s) {
      SCOPED_TRACE(::testing::Message() << "expert " << e << " source " << s);
      const auto segment = static_cast<size_t>(e * groups.num_sources + s);
      const int64_t begin = groups.source_offsets[segment],
                    count = groups.source_offsets[segment + 1] - begin;
      const auto rows = [&](const at::Tensor& all) { return all.detach().narrow(0, begin, count); };
      if (count == 0) {
        terms.push_back(at::full({kOutputs, kInputs}, 0.0));
        continue;
      }
      const Expected expected = expected_of(rows(x), w[e], rows(dy), scale, 0.0);
      expect_equal(rows(y), expected.y);
      expect_equal(rows(dx), expected.dx);
      terms.push_back(expected.dw);
    }
    expect_equal(weight.gradient[e], reference::ordered_sum(terms));
  }
}

TEST_P(Fp8Linear, EveryExpertIsALayerOfItsOwn) {
  expect_grouped(RowGroups({0, 3, 3, 140, kTokens}, 1), GetParam());
}

TEST_P(Fp8Linear, EverySourceOfAnExpertHasTilesOfItsOwn) {
  expect_grouped(RowGroups({0, 3, 3, 140, kTokens}, 2), GetParam());
}

}  // namespace
}  // namespace athanor::model
