#include <algorithm>
#include <functional>
#include <limits>
#include <ostream>

#include <ATen/TensorOperators.h>
#include <ATen/ops/concat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "kernels/ops.h"
#include "kernels/reference/linear_cross_entropy.h"
#include "tests/kernels/tensor_testing.h"

namespace athanor::kernels {
namespace {

using testing::kComputeTypes;
using testing::near;
using testing::normal;
using testing::on_any_threads;
using testing::same_bits;
using testing::whole_numbers;

struct Case {
  const char* name;
  int64_t num_tokens, hidden, vocabulary;
  int64_t ignore_every = 0;  ///< every n-th label is ignored; 0: none
};
std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.name;
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all{{"no token", 0, 8, 5},
                                     {"one of each", 1, 1, 1},
                                     {"one token", 1, 64, 300},
                                     {"primes", 37, 23, 101},
                                     {"vocabulary of a whole block", 5, 16, 4096},
                                     {"several vocabulary blocks", 19, 16, 9001},
                                     {"several token blocks", 1100, 8, 17},
                                     {"some ignored", 67, 24, 130, 3},
                                     {"all ignored", 13, 24, 130, 1}};
  return all;
}

struct Inputs {
  at::Tensor x, w, labels, weight;
};

Inputs inputs_of(const Case& c, at::ScalarType dtype) {
  Inputs in{normal("x", {c.num_tokens, c.hidden}, dtype), normal("w", {c.vocabulary, c.hidden}, dtype),
            whole_numbers("labels", {c.num_tokens}, c.vocabulary), normal("weight", {c.num_tokens})};
  for (int64_t t = 0; t < c.num_tokens; ++t)
    if (c.ignore_every > 0 && t % c.ignore_every == 0) in.labels[t] = kIgnoredLabel;
  return in;
}

at::Tensor loss_of(const Inputs& in) {
  const at::Tensor loss = at::empty({in.x.size(0)}, at::kFloat);
  linear_cross_entropy(loss, {}, in.x, in.w, in.labels);
  return loss;
}

struct Gradients {
  at::Tensor loss, dx, dw;
};

Gradients gradients_of(const Inputs& in) {
  Gradients out{at::empty({in.x.size(0)}, at::kFloat), at::empty_like(in.x),
                at::empty(in.w.sizes(), in.w.options().dtype(at::kFloat))};
  linear_cross_entropy_with_gradient(out.loss, out.dx, out.dw, in.x, in.w, in.labels, in.weight, false);
  return out;
}

TEST(LinearCrossEntropy, AgreesWithTheReference) {
  for (const Case& c : cases())
    for (const auto dtype : kComputeTypes) {
      SCOPED_TRACE(::testing::Message() << c << ", " << c10::toString(dtype));
      const Inputs in = inputs_of(c, dtype);
      const auto results = on_any_threads([&] {
        const at::Tensor loss = at::empty({c.num_tokens}, at::kFloat), lse = at::empty_like(loss);
        linear_cross_entropy(loss, lse, in.x, in.w, in.labels);
        return std::vector<at::Tensor>{loss, lse};
      });
      EXPECT_TRUE(near(results[0], reference::linear_cross_entropy(in.x, in.w, in.labels), 2e-6));
      EXPECT_TRUE(near(results[1], reference::linear_logsumexp(in.x, in.w), 2e-6));
      EXPECT_TRUE(same_bits(loss_of(in), results[0])) << "without the log-sum-exp";
    }
}

TEST(LinearCrossEntropy, GradientsAgreeWithAutogradOfTheReferenceInFp64) {
  for (const Case& c : cases())
    for (const auto dtype : kComputeTypes) {
      SCOPED_TRACE(::testing::Message() << c << ", " << c10::toString(dtype));
      const Inputs in = inputs_of(c, dtype);
      const auto results = on_any_threads([&] {
        const Gradients out = gradients_of(in);
        return std::vector<at::Tensor>{out.loss, out.dx, out.dw};
      });
      const at::Tensor x = in.x.to(at::kDouble).clone().set_requires_grad(true);
      const at::Tensor w = in.w.to(at::kDouble).clone().set_requires_grad(true);
      const at::Tensor loss = reference::linear_cross_entropy(x, w, in.labels);
      (loss * in.weight.to(at::kDouble)).sum().backward();
      EXPECT_TRUE(same_bits(results[0], loss_of(in))) << "loss with and without gradient";
      // Logits of up to 20 are rounded by 1e-6, and that is a relative error of their probabilities.
      const double tolerance = std::max(4e-6, testing::rounding_of(dtype));
      EXPECT_TRUE(near(results[1], x.grad(), tolerance));
      EXPECT_TRUE(near(results[2], w.grad(), tolerance));
    }
}

TEST(LinearCrossEntropy, ATokensBitsDoNotDependOnTheOthers) {
  for (const auto dtype : kComputeTypes) {
    const Inputs all = inputs_of({"", 700, 24, 5000, 5}, dtype);
    const Gradients together = gradients_of(all);
    for (const int64_t t : {1, 2, 64, 511, 512, 699}) {
      const auto one = [&](const at::Tensor& x) { return x.narrow(0, t, 1).contiguous(); };
      const Inputs alone{one(all.x), all.w, one(all.labels), one(all.weight)};
      EXPECT_TRUE(same_bits(loss_of(alone), one(together.loss))) << "token " << t;
      EXPECT_TRUE(same_bits(gradients_of(alone).dx, one(together.dx))) << "token " << t;
    }
  }
}

TEST(LinearCrossEntropy, WeightGradientsAddUpInOneChain) {
  // Two halves, the second added to the first, give the bits of the whole.
  const Inputs all = inputs_of({"", 1030, 24, 90, 0}, at::kFloat);
  const at::Tensor whole = gradients_of(all).dw, parts = at::zeros({90, 24}, at::kFloat);
  for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 700}, {700, 330}}) {
    const auto part = [&, f = first, n = count](const at::Tensor& x) {
      return x.narrow(0, f, n).contiguous();
    };
    const at::Tensor x = part(all.x), loss = at::empty({count}, at::kFloat);
    linear_cross_entropy_with_gradient(loss, at::empty_like(x), parts, x, all.w, part(all.labels),
                                       part(all.weight), true);
  }
  EXPECT_TRUE(same_bits(parts, whole));
}

// The whole computed in `num_parts` pieces of the vocabulary: what travels between ranks is here taken in a
// first pass, put together in fp64, and handed to a second one.
struct Parts {
  explicit Parts(const Inputs& inputs, int64_t num_parts) : in(inputs), count(num_parts), states(num_parts) {
    for (int64_t i = 0; i < count; ++i)
      gradients_of_part(i, [&](const at::Tensor& part) { states[i].push_back(part.clone()); });
  }

  at::Tensor weight(int64_t i) const {
    const int64_t rows = in.w.size(0) / count;
    return in.w.narrow(0, i * rows, rows).contiguous();
  }
  VocabularyRows rows(int64_t i) const { return {i * (in.w.size(0) / count), in.w.size(0)}; }

  Gradients gradients_of_part(int64_t i, const std::function<void(const at::Tensor&)>& combine) const {
    const at::Tensor w = weight(i);
    Gradients out{at::empty({in.x.size(0)}, at::kFloat), at::empty_like(in.x),
                  at::empty(w.sizes(), w.options().dtype(at::kFloat))};
    linear_cross_entropy_with_gradient(out.loss, out.dx, out.dw, in.x, w, in.labels, in.weight, false,
                                       {rows(i), combine});
    return out;
  }
  // The b-th block of tokens, of all parts.
  at::Tensor combined(size_t b) const {
    at::Tensor largest, sum, label;
    for (const auto& part : states) {
      const at::Tensor l = part[b].select(1, 0).to(at::kDouble), of_label = part[b].select(1, 2);
      largest = largest.defined() ? largest.maximum(l) : l;
      label = label.defined() ? label.maximum(of_label) : of_label;
    }
    for (const auto& part : states) {
      const at::Tensor term =
          part[b].select(1, 1).to(at::kDouble) * (part[b].select(1, 0).to(at::kDouble) - largest).exp();
      sum = sum.defined() ? sum + term : term;
    }
    return at::stack({largest.to(at::kFloat), sum.to(at::kFloat), label}, 1);
  }
  std::function<void(const at::Tensor&)> combine() const {
    return [this, b = size_t{0}](const at::Tensor& part) mutable { part.copy_(combined(b++)); };
  }

  const Inputs& in;
  int64_t count;
  std::vector<std::vector<at::Tensor>> states;  // [part][block of tokens]
};

TEST(LinearCrossEntropy, PartsOfTheVocabularyGiveTheWhole) {
  for (const Case& c : std::vector<Case>{{"two parts", 37, 23, 102},
                                         {"three parts", 37, 23, 102},
                                         {"several vocabulary blocks", 19, 16, 9003 * 2},
                                         {"several token blocks", 1100, 8, 18},
                                         {"some ignored", 67, 24, 132, 3},
                                         {"all ignored", 13, 24, 132, 1},
                                         {"no token", 0, 8, 6}})
    for (const auto dtype : kComputeTypes) {
      SCOPED_TRACE(::testing::Message() << c << ", " << c10::toString(dtype));
      const Inputs in = inputs_of(c, dtype);
      const Parts parts(in, c.name == std::string("three parts") ? 3 : 2);
      const Gradients whole = gradients_of(in);
      at::Tensor dx = at::zeros(in.x.sizes(), at::kFloat);
      std::vector<at::Tensor> dw;
      for (int64_t i = 0; i < parts.count; ++i) {
        const Gradients part = parts.gradients_of_part(i, parts.combine());
        EXPECT_TRUE(near(part.loss, whole.loss, 2e-6));
        dx += part.dx;
        dw.push_back(part.dw);
      }
      const double tolerance = std::max(1e-5, testing::rounding_of(dtype));  // sums in another order
      EXPECT_TRUE(near(dx, whole.dx.to(at::kFloat), tolerance));
      EXPECT_TRUE(near(at::concat(dw), whole.dw, tolerance));
    }
}

TEST(LinearCrossEntropy, PartsGiveTheLossWithoutGradientsToo) {
  const Inputs in = inputs_of({"", 67, 24, 9000, 3}, at::kFloat);
  const at::Tensor whole = loss_of(in), loss = at::empty_like(whole);
  Parts parts(in, 2);
  for (auto& blocks : parts.states) blocks.clear();
  const auto run = [&](int64_t i, const std::function<void(const at::Tensor&)>& combine) {
    linear_cross_entropy(loss, {}, in.x, parts.weight(i), in.labels, {parts.rows(i), combine});
  };
  for (int64_t i = 0; i < 2; ++i)
    run(i, [&](const at::Tensor& part) { parts.states[static_cast<size_t>(i)].push_back(part.clone()); });
  for (int64_t i = 0; i < 2; ++i) {
    run(i, parts.combine());
    EXPECT_TRUE(near(loss, whole, 2e-6));
  }
}

TEST(LinearCrossEntropy, APartNeedsItsPlaceAndSomethingThatCombines) {
  const Inputs in = inputs_of({"", 6, 8, 20, 0}, at::kFloat);
  const at::Tensor loss = at::empty({6}, at::kFloat), w = in.w.narrow(0, 10, 10);
  const auto nothing = [](const at::Tensor&) {};
  EXPECT_THROW(linear_cross_entropy(loss, {}, in.x, w, in.labels, {{10, 20}, nullptr}), core::InternalError);
  EXPECT_THROW(linear_cross_entropy(loss, {}, in.x, w, in.labels, {{11, 20}, nothing}), core::InternalError);
  at::Tensor labels = in.labels.clone();
  labels[3] = 20;
  EXPECT_THROW(linear_cross_entropy(loss, {}, in.x, w, labels, {{10, 20}, nothing}), core::DataError);
}

TEST(LinearCrossEntropy, ZeroWeightsAndIgnoredLabelsGiveZeroGradients) {
  Inputs in = inputs_of({"", 6, 8, 20, 0}, at::kBFloat16);
  in.labels[1] = kIgnoredLabel;
  in.weight[4] = 0.0;
  const Gradients out = gradients_of(in);
  EXPECT_EQ(out.loss[1].item<float>(), 0.0f);
  EXPECT_GT(out.loss[4].item<float>(), 0.0f);
  for (int64_t t = 0; t < 6; ++t)
    EXPECT_EQ(out.dx[t].ne(0).any().item<bool>(), t != 1 && t != 4) << "token " << t;
}

TEST(LinearCrossEntropy, TheGradientByTheWeightsMayBeLeftOut) {
  const Inputs in = inputs_of({"", 30, 8, 20, 4}, at::kFloat);
  const at::Tensor loss = at::empty({30}, at::kFloat), dx = at::empty_like(in.x);
  linear_cross_entropy_with_gradient(loss, dx, {}, in.x, in.w, in.labels, in.weight, false);
  EXPECT_TRUE(same_bits(dx, gradients_of(in).dx));
}

TEST(LinearCrossEntropy, LargeLogitsKeepTheirPrecision) {
  Inputs in = inputs_of({"", 40, 16, 200, 0}, at::kFloat);
  in.x = in.x * 1000.0;
  EXPECT_TRUE(near(loss_of(in), reference::linear_cross_entropy(in.x, in.w, in.labels), 1e-5));
}

TEST(LinearCrossEntropy, NotANumberStaysVisible) {
  Inputs in = inputs_of({"", 4, 8, 20, 0}, at::kFloat);
  in.x[2][0] = std::numeric_limits<float>::quiet_NaN();
  const at::Tensor is_nan = loss_of(in).isnan();
  for (int64_t t = 0; t < 4; ++t) EXPECT_EQ(is_nan[t].item<bool>(), t == 2);
}

TEST(LinearCrossEntropy, ABadLabelIsNamedWithItsPositionAndTheVocabulary) {
  Inputs in = inputs_of({"", 6, 8, 20, 0}, at::kFloat);
  for (const int64_t bad : {20, -1, -99}) {
    in.labels[3] = bad;
    try {
      loss_of(in);
      FAIL() << "label " << bad << " was taken";
    } catch (const core::DataError& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find("label " + std::to_string(bad) + " at position 3"), std::string::npos)
          << message;
      EXPECT_NE(message.find("0..19"), std::string::npos) << message;
    }
    EXPECT_THROW(gradients_of(in), core::DataError);
  }
}

TEST(LinearCrossEntropy, WrongArgumentsAreNamed) {
  const Inputs in = inputs_of({"", 6, 8, 20, 0}, at::kFloat);
  EXPECT_THROW(loss_of({in.x, in.w.narrow(1, 0, 7), in.labels, {}}), core::InternalError);
  EXPECT_THROW(loss_of({in.x.to(at::kBFloat16), in.w, in.labels, {}}), core::InternalError);
  EXPECT_THROW(loss_of({in.x, in.w, in.labels.narrow(0, 0, 5), {}}), core::InternalError);
  EXPECT_THROW(gradients_of({in.x, in.w, in.labels, in.weight.narrow(0, 0, 5)}), core::InternalError);
}

}  // namespace
}  // namespace athanor::kernels
