#include <numeric>

#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "parallel/gradient_tree.h"
#include "parallel/ordered_reduction.h"
#include "tests/parallel/mpi_test_main.h"
#include "tests/parallel/tree_reference.h"

namespace athanor::parallel {
namespace {

using tests::world;

/// Numbers of very different size, so that every other order of summation shows; the same on every rank.
at::Tensor gradient_of(int micro_batch, int64_t num_elements) {
  at::Tensor values = at::empty({num_elements});
  float* out = values.mutable_data_ptr<float>();
  uint64_t state = 0x9E3779B97F4A7C15ull * (micro_batch + 1);
  for (int64_t i = 0; i < num_elements; ++i) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    const auto mantissa = static_cast<float>(static_cast<int32_t>(state >> 32)) * 0x1p-31f;
    out[i] = std::ldexp(mantissa, static_cast<int>(state >> 20 & 15) - 8);
  }
  return values;
}

std::vector<at::Tensor> gradients_of_all_ranks(int64_t num_elements, at::ScalarType payload) {
  std::vector<at::Tensor> gradients;
  for (int r = 0; r < world().size(); ++r) gradients.push_back(gradient_of(r, num_elements).to(payload));
  return gradients;
}

struct Case {
  const char* name;
  std::vector<int64_t> counts;
  ReductionOptions options;
};

std::vector<Case> cases() {
  const int n = world().size();
  std::vector<int64_t> uneven(n), one_rank(n, 0);
  for (int r = 0; r < n; ++r) uneven[r] = r % 3 == 1 ? 0 : 5000 * r + 17;
  one_rank[n - 1] = 12345;
  const ReductionOptions tiny{.scratch_bytes = 1}, tiny_bf16{.payload = at::kBFloat16, .scratch_bytes = 1};
  return {{"even", std::vector<int64_t>(n, 20000), {}},
          {"even in small chunks", std::vector<int64_t>(n, 20001), tiny},
          {"uneven", uneven, {}},
          {"uneven in small chunks", uneven, tiny},
          {"one rank gets all", one_rank, tiny},
          {"bf16", std::vector<int64_t>(n, 20000), {.payload = at::kBFloat16}},
          {"bf16, uneven in small chunks", uneven, tiny_bf16},
          {"one chunk in flight", uneven, {.scratch_bytes = 1, .chunks_in_flight = 1}},
          {"nothing", std::vector<int64_t>(n, 0), {}}};
}

TEST(OrderedReduction, ReduceScatterGivesTheBitsOfTheTree) {
  for (const Case& c : cases()) {
    const int64_t total = std::accumulate(c.counts.begin(), c.counts.end(), int64_t{0});
    const int64_t begin = std::accumulate(c.counts.begin(), c.counts.begin() + world().rank(), int64_t{0});
    const int64_t count = c.counts[world().rank()];
    const at::Tensor expected =
        tests::tree_sum(gradients_of_all_ranks(total, c.options.payload)).narrow(0, begin, count);
    OrderedReduction reduction(world(), c.options);
    const at::Tensor in = gradient_of(world().rank(), total), untouched = in.clone(),
                     out = at::zeros({count});
    reduction.reduce_scatter(out, in, c.counts).wait();
    EXPECT_TRUE(at::equal(out, expected)) << c.name;
    EXPECT_TRUE(at::equal(in, untouched)) << c.name;
    reduction.reduce_scatter(in.narrow(0, begin, count), in, c.counts).wait();  // into its own place
    EXPECT_TRUE(at::equal(in.narrow(0, begin, count), expected)) << c.name;
  }
}

TEST(OrderedReduction, AllReduceGivesEveryRankTheSameBits) {
  for (const int64_t total : {1, 100, 256, 5000, 100003}) {
    for (const at::ScalarType payload : {at::kFloat, at::kBFloat16}) {
      const at::Tensor data = gradient_of(world().rank(), total);
      OrderedReduction(world(), {.payload = payload}).all_reduce(data);
      EXPECT_TRUE(at::equal(data, tests::tree_sum(gradients_of_all_ranks(total, payload)))) << total;
    }
  }
}

TEST(OrderedReduction, SeveralMayBeInFlight) {
  const int64_t count = 30000;
  OrderedReduction reduction(world(), {.scratch_bytes = 1});
  std::vector<at::Tensor> ins, outs;
  std::vector<Pending> pending;
  for (int i = 0; i < 3; ++i) {
    ins.push_back(gradient_of(world().rank() + 100 * i, count * world().size()));
    outs.push_back(at::zeros({count}));
    pending.push_back(reduction.reduce_scatter(outs[i], ins[i]));
  }
  for (Pending& p : pending) p.wait();
  for (int i = 0; i < 3; ++i) {
    std::vector<at::Tensor> all;
    for (int r = 0; r < world().size(); ++r) all.push_back(gradient_of(r + 100 * i, count * world().size()));
    EXPECT_TRUE(at::equal(outs[i], tests::tree_sum(all).narrow(0, world().rank() * count, count))) << i;
  }
}

// The promise to users: the gradient of a global batch has the same bits however many ranks share it.
TEST(OrderedReduction, WithTheGradientTreeTheNumberOfRanksDoesNotShow) {
  for (const int num_micro_batches : {8, 24, 40}) {
    const int64_t size = 8 * 256 * 3;
    std::vector<at::Tensor> micro_batches;
    for (int m = 0; m < num_micro_batches; ++m) micro_batches.push_back(gradient_of(m, size));
    FlatBufferPool pool;
    const int64_t count = size / world().size();
    GradientTree tree(count, pool);
    OrderedReduction reduction(world());
    for (int m = world().rank(); m < num_micro_batches; m += world().size()) {
      reduction.reduce_scatter(tree.next(), micro_batches[m]).wait();
      tree.add();
    }
    const at::Tensor expected = tests::tree_sum(micro_batches).narrow(0, world().rank() * count, count);
    EXPECT_TRUE(at::equal(tree.result(), expected)) << num_micro_batches;
  }
}

}  // namespace
}  // namespace athanor::parallel
