#include "model/capacity.h"

#include <vector>

#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

namespace athanor::tests {
namespace {

using model::CapacityOptions;
using model::CapacityPolicy;

// Five tokens, two choices each, of four experts: expert 0 is chosen by everyone.
const std::vector<int> kIds = {0, 1, 0, 2, 0, 1, 0, 3, 0, 1};
const std::vector<float> kWeights = {.5f, .5f, .9f, .1f, .2f, .8f, .9f, .1f, .7f, .3f};

std::vector<int> limited(const CapacityOptions& options, int64_t expected_drops) {
  const at::Tensor ids = at::tensor(kIds, at::kInt).view({5, 2});
  const auto result =
      model::limit_to_capacity(ids, at::tensor(kWeights, at::kFloat).view({5, 2}), 4, options);
  EXPECT_EQ(result.num_dropped, expected_drops);
  EXPECT_EQ(ids.const_data_ptr<int32_t>()[0], 0) << "the choices of the router are not changed";
  const int32_t* kept = result.expert_ids_TA.const_data_ptr<int32_t>();
  return {kept, kept + 10};
}

TEST(Capacity, KeepsTheFirstTokens) {
  // ceil(1 * 10 / 4) = 3 places.
  EXPECT_EQ(limited({.factor = 1}, 2), (std::vector<int>{0, 1, 0, 2, 0, 1, -1, 3, -1, 1}));
  // ceil(0.4 * 10 / 4) = 1 place.
  EXPECT_EQ(limited({.factor = 0.4}, 6), (std::vector<int>{0, 1, -1, 2, -1, -1, -1, 3, -1, -1}));
}

TEST(Capacity, KeepsTheHighestWeightsAndTheFirstOfEqualOnes) {
  EXPECT_EQ(limited({.factor = 1, .policy = CapacityPolicy::kScore}, 2),
            (std::vector<int>{-1, 1, 0, 2, -1, 1, 0, 3, 0, 1}));
  EXPECT_EQ(limited({.factor = 0.4, .policy = CapacityPolicy::kScore}, 6),
            (std::vector<int>{-1, -1, 0, 2, -1, 1, -1, 3, -1, -1}));
}

TEST(Capacity, DropsNothingWhereThereIsRoom) {
  EXPECT_EQ(limited({.factor = 2}, 0), kIds);
  EXPECT_EQ(
      model::limit_to_capacity(at::tensor(std::vector<int>{}, at::kInt).view({0, 2}),
                               at::tensor(std::vector<float>{}, at::kFloat).view({0, 2}), 4, {.factor = 1})
          .num_dropped,
      0);
}

}  // namespace
}  // namespace athanor::tests
