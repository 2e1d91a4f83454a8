#include "parallel/gradient_tree.h"

#include <bit>

#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "kernels/ops.h"
#include "tests/parallel/tree_reference.h"

namespace athanor::parallel {
namespace {

constexpr int64_t kSize = 777;

at::Tensor accumulate(GradientTree& tree, const std::vector<at::Tensor>& shards) {
  for (const at::Tensor& shard : shards) {
    tree.next().copy_(shard);
    tree.add();
  }
  return tree.result();
}

TEST(GradientTree, EqualsTheTreeOverAllMicroBatchesForEveryCountAndGroupSize) {
  std::vector<at::Tensor> micro_batches;
  for (int m = 0; m < 40; ++m) micro_batches.push_back(at::randn({kSize}));
  FlatBufferPool pool;
  for (const size_t num_ranks : {1, 2, 4, 8}) {
    for (size_t num_steps = 1; num_steps * num_ranks <= micro_batches.size(); ++num_steps) {
      GradientTree tree(kSize, pool);
      std::vector<at::Tensor> reduced;
      for (size_t i = 0; i < num_steps; ++i)
        reduced.push_back(tests::tree_sum({micro_batches.begin() + i * num_ranks, num_ranks}));
      const at::Tensor expected = tests::tree_sum({micro_batches.begin(), num_steps * num_ranks});
      ASSERT_TRUE(at::equal(accumulate(tree, reduced), expected))
          << num_ranks << " ranks, " << num_steps << " steps";
    }
  }
}

TEST(GradientTree, UsesAtMostLog2PlusOneBuffersAndThePoolKeepsThem) {
  FlatBufferPool pool;
  for (int64_t num_steps = 1; num_steps <= 33; ++num_steps) {
    FlatBufferPool fresh;
    GradientTree tree(kSize, fresh);
    accumulate(tree, std::vector<at::Tensor>(num_steps, at::randn({kSize})));
    EXPECT_LE(fresh.num_created(), std::bit_width(static_cast<uint64_t>(num_steps))) << num_steps;
  }
  GradientTree tree(kSize, pool);
  for (int step = 0; step < 3; ++step) {
    accumulate(tree, std::vector<at::Tensor>(8, at::randn({kSize})));
    tree.reset();
  }
  EXPECT_EQ(pool.num_created(), 4);
}

TEST(GradientTree, MisuseIsRefused) {
  FlatBufferPool pool;
  GradientTree tree(kSize, pool);
  EXPECT_THROW(tree.add(), core::InternalError);
  EXPECT_THROW(tree.result(), core::InternalError);
  tree.next().zero_();
  tree.add();
  tree.result();
  EXPECT_THROW(tree.next(), core::InternalError);
  tree.reset();
  EXPECT_NO_THROW(tree.next());
}

}  // namespace
}  // namespace athanor::parallel
