// Routing, permuting, combining and the loss on a GPU.
#include <ATen/TensorOperators.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/core.h>

#include "core/error.h"
#include "kernels/cuda/linear_cross_entropy.h"
#include "kernels/ops.h"
#include "kernels/reference/linear_cross_entropy.h"
#include "tests/kernels/cuda_testing.h"

namespace athanor::kernels {
namespace {

using testing::compare;
using testing::gpu_tolerance;
using testing::kComputeTypes;
using testing::kExact;
using testing::normal;
using testing::on_gpu;
using testing::poisoned;
using testing::Tensors;
using testing::whole_numbers;

struct RouterCase {
  int64_t tokens, experts;
  RouterOptions options;
  bool has_bias;

  std::string name(const char* operation) const {
    return fmt::format("{} T{} E{} top {} groups {}/{} {}{}", operation, tokens, experts,
                       options.num_experts_per_tok, options.topk_group, options.n_group,
                       options.score == RouterScore::kSigmoid ? "sigmoid" : "softmax",
                       has_bias ? " bias" : "");
  }
};
const RouterCase kRouters[] = {
    {1, 1, {RouterScore::kSigmoid, 1}, false},
    {0, 8, {RouterScore::kSigmoid, 2}, true},
    {301, 16, {RouterScore::kSigmoid, 4}, true},
    {257, 256, {RouterScore::kSigmoid, 8, 8, 4, true, 2.5}, true},
    {64, 8, {RouterScore::kSigmoid, 2, 8, 3, true, 1.0}, true},  // groups of one expert
    {130, 72, {RouterScore::kSigmoid, 6, 36, 20, false, 1.5}, false},
    {200, 60, {RouterScore::kSoftmax, 4, 1, 1, true, 1.0}, false},
    {33, 128, {RouterScore::kSoftmax, 8, 1, 1, false, 1.0}, false},
    {20, 5, {RouterScore::kSoftmax, 5, 1, 1, true, 1.0}, false},  // all of them
};

struct RouterResults {
  at::Tensor ids, weights, scores;
};
RouterResults route_on_cpu(const at::Tensor& logits, const at::Tensor& bias, const RouterOptions& options) {
  const int64_t tokens = logits.size(0), chosen = options.num_experts_per_tok;
  RouterResults results{at::zeros({tokens, chosen}, at::kInt), at::zeros({tokens, chosen}),
                        at::zeros(logits.sizes())};
  route(results.ids, results.weights, results.scores, logits, bias, options);
  return results;
}

void compare_route(const std::string& what, const at::Tensor& logits, const at::Tensor& bias,
                   const RouterOptions& options) {
  const int64_t tokens = logits.size(0), chosen = options.num_experts_per_tok;
  const RouterResults expected = route_on_cpu(logits, bias, options);
  const at::Tensor glogits = on_gpu(logits), gbias = on_gpu(bias);
  compare(what, at::kFloat, 1e-6,
          [&]() -> Tensors {
            const at::Tensor ids = poisoned({tokens, chosen}, at::kInt);
            const at::Tensor weights = poisoned({tokens, chosen}, at::kFloat);
            const at::Tensor scores = poisoned(logits.sizes(), at::kFloat);
            route(ids, weights, scores, glogits, gbias, options);
            return {ids, weights, scores};
          },
          {expected.ids, expected.weights, expected.scores});
}

TEST(CudaRouter, ChoosesAsTheCpuDoes) {
  for (const RouterCase& c : kRouters) {
    const at::Tensor bias = c.has_bias ? normal("bias", {c.experts}) * 0.1 : at::Tensor();
    compare_route(c.name("route"), normal("logits", {c.tokens, c.experts}), bias, c.options);
    // Few different values: ties everywhere, which go to the lower id.
    compare_route(c.name("route ties"), whole_numbers("ties", {c.tokens, c.experts}, 3, at::kFloat),
                  c.has_bias ? at::zeros({c.experts}) : at::Tensor(), c.options);
  }
}

TEST(CudaRouter, Backward) {
  for (const RouterCase& c : kRouters)
    for (const bool has_dscores : {false, true}) {
      const int64_t chosen = c.options.num_experts_per_tok;
      const auto forward = route_on_cpu(normal("logits", {c.tokens, c.experts}), {}, c.options);
      const at::Tensor dweights = normal("dweights", {c.tokens, chosen});
      const at::Tensor dscores = has_dscores ? normal("dscores", {c.tokens, c.experts}) : at::Tensor();
      at::Tensor expected = at::zeros({c.tokens, c.experts});
      route_backward(expected, dweights, dscores, forward.ids, forward.scores, c.options);
      const at::Tensor ids = on_gpu(forward.ids), scores = on_gpu(forward.scores),
                       gdweights = on_gpu(dweights), gdscores = on_gpu(dscores);
      compare(c.name("route_backward"), at::kFloat, 1e-6,
              [&]() -> Tensors {
                const at::Tensor dlogits = poisoned({c.tokens, c.experts}, at::kFloat);
                route_backward(dlogits, gdweights, gdscores, ids, scores, c.options);
                return {dlogits};
              },
              {expected});
    }
}

struct PermutationCase {
  int64_t tokens, chosen, experts, columns;
  bool drops;  ///< some slots are dropped
};
const PermutationCase kPermutations[] = {
    {1, 1, 1, 8, false},      {0, 2, 4, 16, false},   {5, 2, 300, 3, false},  // empty experts
    {600, 6, 64, 264, false}, {3000, 3, 7, 40, true}, {700, 1, 2, 1030, true},
};

/// Expert ids; with `drops`, about a quarter of the slots are -1.
at::Tensor ids_of(const PermutationCase& c) {
  const at::Tensor ids = whole_numbers("ids", {c.tokens, c.chosen}, c.experts, at::kInt);
  if (c.drops) ids.masked_fill_(whole_numbers("drops", {c.tokens, c.chosen}, 4) == 0, -1);
  return ids;
}

Permutation on_gpu_permutation(const Permutation& permutation) {
  return {on_gpu(permutation.row_of_slot), on_gpu(permutation.token_of_row), permutation.offsets};
}

TEST(CudaPermutation, SortsAsTheCpuDoes) {
  for (const PermutationCase& c : kPermutations) {
    const at::Tensor ids = ids_of(c), gids = on_gpu(ids);
    const Permutation expected = permutation_by_expert(ids, c.experts);
    compare(fmt::format("permutation_by_expert T{} top {} E{}", c.tokens, c.chosen, c.experts), at::kInt,
            kExact,
            [&]() -> Tensors {
              const Permutation permutation = permutation_by_expert(gids, c.experts);
              EXPECT_EQ(permutation.offsets, expected.offsets);
              return {permutation.row_of_slot, permutation.token_of_row};
            },
            {expected.row_of_slot, expected.token_of_row});
  }
}

TEST(CudaPermutation, NamesABadId) {
  const at::Tensor ids = whole_numbers("ids", {400, 3}, 4, at::kInt);
  ids[200][1] = 4;
  ids[300][0] = -2;
  try {
    permutation_by_expert(on_gpu(ids), 4);
    FAIL() << "a bad id passed";
  } catch (const core::InternalError& error) {
    EXPECT_NE(std::string(error.what()).find("slot 601 names expert 4"), std::string::npos) << error.what();
  }
}

TEST(CudaPermutation, MovesAndCombinesRows) {
  for (const auto dtype : kComputeTypes)
    for (const PermutationCase& c : kPermutations) {
      const Permutation permutation = permutation_by_expert(ids_of(c), c.experts);
      const Permutation device = on_gpu_permutation(permutation);
      const int64_t rows = permutation.offsets.back();
      const at::Tensor x = normal("x", {c.tokens, c.columns}, dtype),
                       dy = normal("dy", {c.tokens, c.columns}, dtype);
      const at::Tensor y_rows = normal("rows", {rows, c.columns}, dtype);
      const at::Tensor weights = normal("weights", {c.tokens, c.chosen});
      const at::Tensor gx = on_gpu(x), gdy = on_gpu(dy), grows = on_gpu(y_rows), gweights = on_gpu(weights);
      const std::string shape = fmt::format(" T{} top {} E{} D{}", c.tokens, c.chosen, c.experts, c.columns);

      at::Tensor x_rows = at::zeros_like(y_rows), dx = at::zeros_like(x), y = at::zeros_like(x);
      permute(x_rows, x, permutation);
      permute_backward(dx, y_rows, permutation);
      combine(y, y_rows, weights, permutation);
      compare("permute, its backward, combine" + shape, dtype, kExact,
              [&]() -> Tensors {
                const at::Tensor out_rows = poisoned({rows, c.columns}, dtype);
                const at::Tensor out_dx = poisoned(x.sizes(), dtype), out_y = poisoned(x.sizes(), dtype);
                permute(out_rows, gx, device);
                permute_backward(out_dx, grows, device);
                combine(out_y, grows, gweights, device);
                return {out_rows, out_dx, out_y};
              },
              {x_rows, dx, y});

      at::Tensor drows = at::zeros_like(y_rows), dweights = at::zeros_like(weights);
      combine_backward(drows, dweights, dy, y_rows, weights, permutation);
      compare("combine_backward" + shape, dtype, 1e-5,
              [&]() -> Tensors {
                const at::Tensor out = poisoned({rows, c.columns}, dtype), in_place = grows.clone();
                const at::Tensor out_weights = poisoned(weights.sizes(), at::kFloat);
                const at::Tensor again = poisoned(weights.sizes(), at::kFloat);
                combine_backward(out, out_weights, gdy, grows, gweights, device);
                combine_backward(in_place, again, gdy, in_place, gweights, device);
                return {out, out_weights, in_place, again};
              },
              {drows, dweights, drows, dweights});
    }
}

struct LossCase {
  int64_t tokens, hidden, vocabulary;
};
const LossCase kLosses[] = {{1, 8, 1}, {0, 8, 16}, {17, 24, 5}, {70, 33, 1003}, {200, 64, 4096}};

/// Some labels are ignored.
at::Tensor labels_of(const LossCase& c) {
  const at::Tensor labels = whole_numbers("labels", {c.tokens}, c.vocabulary);
  return labels.masked_fill_(whole_numbers("ignored", {c.tokens}, 5) == 0, kIgnoredLabel);
}

TEST(CudaLoss, LinearCrossEntropy) {
  for (const auto dtype : kComputeTypes)
    for (const LossCase& c : kLosses) {
      const at::Tensor x = normal("x", {c.tokens, c.hidden}, dtype),
                       w = normal("w", {c.vocabulary, c.hidden}, dtype);
      const at::Tensor labels = labels_of(c), gx = on_gpu(x), gw = on_gpu(w), glabels = on_gpu(labels);
      const at::Tensor loss = reference::linear_cross_entropy(x, w, labels);
      compare(fmt::format("linear_cross_entropy T{} D{} V{}", c.tokens, c.hidden, c.vocabulary), dtype, 1e-5,
              [&]() -> Tensors {
                const at::Tensor out = poisoned({c.tokens}, at::kFloat),
                                 again = poisoned({c.tokens}, at::kFloat);
                const at::Tensor lse = poisoned({c.tokens}, at::kFloat);
                linear_cross_entropy(out, lse, gx, gw, glabels);
                linear_cross_entropy(again, {}, gx, gw, glabels);
                return {out, lse, again};
              },
              {loss, reference::linear_logsumexp(x, w), loss});
    }
}

TEST(CudaLoss, WithGradient) {
  for (const auto dtype : kComputeTypes)
    for (const LossCase& c : kLosses) {
      const at::Tensor x = normal("x", {c.tokens, c.hidden}, dtype),
                       w = normal("w", {c.vocabulary, c.hidden}, dtype);
      const at::Tensor labels = labels_of(c), weight = normal("weight", {c.tokens});
      if (c.tokens > 2) weight[2] = 0.0;
      const at::Tensor before = normal("before", {c.vocabulary, c.hidden});
      const at::Tensor gx = on_gpu(x), gw = on_gpu(w), glabels = on_gpu(labels), gweight = on_gpu(weight),
                       gbefore = on_gpu(before);
      const at::Tensor lx = x.to(at::kDouble).clone().set_requires_grad(true),
                       lw = w.to(at::kDouble).clone().set_requires_grad(true);
      const at::Tensor loss = reference::linear_cross_entropy(lx, lw, labels);
      (loss * weight.to(at::kDouble)).sum().backward();
      compare(fmt::format("linear_cross_entropy_with_gradient T{} D{} V{}", c.tokens, c.hidden, c.vocabulary),
              dtype, gpu_tolerance(dtype),
              [&]() -> Tensors {
                const at::Tensor out = poisoned({c.tokens}, at::kFloat), dx = poisoned(x.sizes(), dtype);
                const at::Tensor dw = poisoned(w.sizes(), at::kFloat), added = gbefore.clone();
                linear_cross_entropy_with_gradient(out, dx, dw, gx, gw, glabels, gweight, false);
                linear_cross_entropy_with_gradient(out, dx, added, gx, gw, glabels, gweight, true);
                return {out, dx, dw, added};
              },
              {loss.detach(), lx.grad(), lw.grad(), lw.grad() + before.to(at::kDouble)});
    }
}

// Two parts of a vocabulary, as two ranks hold them: combined by hand, they are the whole.
TEST(CudaLoss, PartsOfTheVocabulary) {
  constexpr int64_t kTokens = 50, kHidden = 24, kVocabulary = 96, kFirst = 32;
  const at::Tensor x = normal("x", {kTokens, kHidden}), w = normal("w", {kVocabulary, kHidden});
  const at::Tensor labels = labels_of({kTokens, kHidden, kVocabulary}), weight = normal("weight", {kTokens});
  const at::Tensor ids = whole_numbers("ids", {kTokens}, kVocabulary), gx = on_gpu(x),
                   glabels = on_gpu(labels);
  const at::Tensor gw = on_gpu(w.narrow(0, kFirst, 48).contiguous()), gids = on_gpu(ids),
                   gweight = on_gpu(weight);
  const VocabularyRows rows{kFirst, kVocabulary};
  // Both sides of the comparison combine alike: half of every sum is said to lie elsewhere.
  const VocabularyPart part{rows, [](const at::Tensor& states_N3) { states_N3.select(1, 1).mul_(2.0); }};
  const at::Tensor part_w = w.narrow(0, kFirst, 48).contiguous();
  const at::Tensor loss = at::zeros({kTokens}), dx = at::zeros_like(x), dw = at::zeros_like(part_w),
                   y = at::zeros_like(x), table = at::zeros_like(part_w);
  linear_cross_entropy_with_gradient(loss, dx, dw, x, part_w, labels, weight, false, part);
  embedding(y, ids, part_w, rows);
  embedding_backward(table, x, ids, rows);
  const auto finite = [](const at::Tensor& losses) { return losses.clamp_max(1e6); };
  compare("loss and embedding of a part of the vocabulary", at::kFloat, 1e-5,
          [&]() -> Tensors {
            const at::Tensor out = poisoned({kTokens}, at::kFloat), odx = poisoned(x.sizes(), at::kFloat);
            const at::Tensor odw = poisoned(part_w.sizes(), at::kFloat), oy = poisoned(x.sizes(), at::kFloat);
            const at::Tensor otable = on_gpu(at::zeros_like(part_w));
            linear_cross_entropy_with_gradient(out, odx, odw, gx, gw, glabels, gweight, false, part);
            embedding(oy, gids, gw, rows);
            embedding_backward(otable, gx, gids, rows);
            return {finite(out), odx, odw, oy, otable};
          },
          {finite(loss), dx, dw, y, table});
}

// A vocabulary whose logits do not fit at once.
TEST(CudaLoss, InBlocks) {
  constexpr int64_t kTokens = 300, kHidden = 40, kVocabulary = 1000, kMaxLogits = 128 * kVocabulary;
  for (const auto dtype : kComputeTypes) {
    const at::Tensor x = normal("x", {kTokens, kHidden}, dtype),
                     w = normal("w", {kVocabulary, kHidden}, dtype);
    const at::Tensor labels = labels_of({kTokens, kHidden, kVocabulary}),
                     weight = normal("weight", {kTokens});
    const at::Tensor gx = on_gpu(x), gw = on_gpu(w), glabels = on_gpu(labels), gweight = on_gpu(weight);
    const at::Tensor lx = x.to(at::kDouble).clone().set_requires_grad(true),
                     lw = w.to(at::kDouble).clone().set_requires_grad(true);
    const at::Tensor loss = reference::linear_cross_entropy(lx, lw, labels);
    (loss * weight.to(at::kDouble)).sum().backward();
    compare("linear_cross_entropy in three blocks", dtype, gpu_tolerance(dtype),
            [&]() -> Tensors {
              const at::Tensor out = poisoned({kTokens}, at::kFloat), again = poisoned({kTokens}, at::kFloat);
              const at::Tensor dx = poisoned(x.sizes(), dtype), dw = poisoned(w.sizes(), at::kFloat);
              cuda::linear_cross_entropy(out, {}, gx, gw, glabels, {}, kMaxLogits);
              cuda::linear_cross_entropy_with_gradient({again, dx, dw, gx, gw, glabels, gweight, false, {}},
                                                       kMaxLogits);
              return {out, again, dx, dw};
            },
            {loss.detach(), loss.detach(), lx.grad(), lw.grad()});
  }
}

TEST(CudaLoss, BadLabelsBecomeNaN) {
  const at::Tensor labels = whole_numbers("labels", {4}, 9);
  labels[1] = 9;
  labels[3] = -1;
  const at::Tensor loss = poisoned({4}, at::kFloat);
  linear_cross_entropy(loss, {}, on_gpu(normal("x", {4, 8})), on_gpu(normal("w", {9, 8})), on_gpu(labels));
  const at::Tensor is_nan = loss.cpu().isnan();
  for (int64_t t = 0; t < 4; ++t) EXPECT_EQ(is_nan[t].item<bool>(), t % 2 == 1) << t;
}

}  // namespace
}  // namespace athanor::kernels
