#include "parallel/mesh.h"

#include <set>

#include <gtest/gtest.h>

#include "core/error.h"

namespace athanor::parallel {
namespace {

std::string error_of(const MeshDegrees& degrees, int world_size) {
  try {
    const Mesh mesh(degrees, world_size);
  } catch (const core::ConfigError& error) {
    return error.what();
  }
  return "";
}

void expect_mentions(const std::string& message, const std::vector<std::string>& words) {
  for (const auto& word : words)
    EXPECT_NE(message.find(word), std::string::npos) << word << " in: " << message;
}

TEST(Mesh, TensorRanksAreNeighbours) {
  const Mesh mesh({.pipeline = 2, .data = 2, .tensor = 2}, 8);
  EXPECT_EQ(mesh.group(Axis::kTensor, 5), (std::vector<int>{4, 5}));
  EXPECT_EQ(mesh.group(Axis::kData, 5), (std::vector<int>{5, 7}));
  EXPECT_EQ(mesh.group(Axis::kPipeline, 5), (std::vector<int>{1, 5}));
  EXPECT_EQ(mesh.coordinates(5), (MeshCoordinates{.pipeline = 1, .data = 0, .tensor = 1}));
}

TEST(Mesh, ExpertsAreFoldedIntoDataAndContext) {
  const Mesh mesh({.data = 2, .context = 2, .expert = 2, .tensor = 1}, 4);
  EXPECT_EQ(mesh.group(Axis::kReplica, 2), (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(mesh.group(Axis::kExpert, 2), (std::vector<int>{2, 3}));
  EXPECT_EQ(mesh.group(Axis::kExpertReplica, 2), (std::vector<int>{0, 2}));
}

TEST(Mesh, TokenAxesJoinReplicasAndTensorRanks) {
  const Mesh mesh({.pipeline = 2, .data = 4, .expert = 2, .tensor = 2}, 16);
  EXPECT_EQ(mesh.group(Axis::kToken, 3), (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(mesh.group(Axis::kExpert, 3), (std::vector<int>{1, 3}));
  EXPECT_EQ(mesh.group(Axis::kExpertReplica, 3), (std::vector<int>{3, 7}));
  EXPECT_EQ(mesh.group(Axis::kExpertToken, 3), (std::vector<int>{2, 3, 6, 7}));
  EXPECT_EQ(mesh.group(Axis::kExpertToken, 8), (std::vector<int>{8, 9, 12, 13}));
}

TEST(Mesh, AutoDataTakesWhatIsLeft) {
  const Mesh mesh({.pipeline = 2, .data = 0, .tensor = 4}, 64);
  EXPECT_EQ(mesh.degree(Axis::kData), 8);
}

TEST(Mesh, GroupsOfEveryAxisPartitionTheWorldAndRanksComeBack) {
  const std::vector<std::pair<MeshDegrees, int>> cases = {
      {{}, 1},
      {{.data = 8, .expert = 4}, 8},
      {{.pipeline = 3, .data = 2, .context = 2, .expert = 4, .tensor = 2}, 24},
      {{.pipeline = 16, .data = 8, .context = 4, .expert = 16, .tensor = 8}, 4096},
  };
  for (const auto& [degrees, world_size] : cases) {
    const Mesh mesh(degrees, world_size);
    for (const Axis axis : kAllAxes) {
      std::set<std::vector<int>> groups;
      size_t num_ranks = 0;
      for (int rank = 0; rank < world_size; ++rank) {
        const auto group = mesh.group(axis, rank);
        ASSERT_EQ(static_cast<int>(group.size()), mesh.degree(axis));
        ASSERT_EQ(group[mesh.index(axis, rank)], rank) << name_of(axis);
        if (groups.insert(group).second) num_ranks += group.size();
        ASSERT_EQ(mesh.rank_at(mesh.coordinates(rank)), rank);
      }
      EXPECT_EQ(static_cast<int>(num_ranks), world_size) << name_of(axis);
    }
  }
}

TEST(Mesh, ErrorsNameBothNumbers) {
  expect_mentions(error_of({.data = 3, .tensor = 2}, 8), {"6 ranks", "8 are running"});
  expect_mentions(error_of({.data = 0, .tensor = 3}, 8), {"8 ranks", "tensor 3"});
  expect_mentions(error_of({.data = 8, .expert = 3}, 8), {"expert 3", "data 8", "= 8"});
  expect_mentions(error_of({.data = 8, .expert = 16}, 8), {"expert 16"});
  expect_mentions(error_of({.data = -1}, 1), {"data is -1"});
  expect_mentions(error_of({.pipeline = 0}, 1), {"pipeline is 0"});
  expect_mentions(error_of({.pipeline = 1 << 30, .data = 1, .context = 1 << 30, .tensor = 4}, 8),
                  {"8 are running"});
}

TEST(Mesh, CoordinatesOutsideAreRefused) {
  const Mesh mesh({.data = 4, .tensor = 2}, 8);
  EXPECT_THROW(mesh.rank_at({.tensor = 2}), core::InternalError);
  EXPECT_THROW(mesh.index(Axis::kData, 8), core::InternalError);
}

}  // namespace
}  // namespace athanor::parallel
