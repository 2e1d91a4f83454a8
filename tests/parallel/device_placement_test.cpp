#include "parallel/device_placement.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace athanor::parallel {
namespace {

std::vector<int> indices(std::vector<uint64_t> visible, int num_devices, bool may_share = false) {
  std::vector<int> found;
  for (int r = 0; r < static_cast<int>(visible.size()); ++r)
    found.push_back(device_index({.host = "a",
                                  .local_rank = r,
                                  .visible_of_rank = visible,
                                  .num_devices = num_devices,
                                  .may_share = may_share}));
  return found;
}

TEST(DevicePlacement, ADeviceEachInOrder) {
  EXPECT_EQ(indices({7, 7, 7, 7}, 4), (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(indices({7, 7}, 8), (std::vector<int>{0, 1}));
}

TEST(DevicePlacement, RanksWithListsOfTheirOwnArePlacedAlready) {
  EXPECT_EQ(indices({1, 2, 3, 4}, 1), (std::vector<int>{0, 0, 0, 0}));
  EXPECT_EQ(indices({1, 1, 2, 2}, 2), (std::vector<int>{0, 1, 0, 1}));
}

TEST(DevicePlacement, SharingMustBeAskedFor) {
  EXPECT_EQ(indices({7, 7, 7}, 2, true), (std::vector<int>{0, 1, 0}));
  try {
    indices({7, 7, 7}, 2);
    FAIL() << "three ranks on two devices";
  } catch (const core::ConfigError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("2 CUDA devices for 3 ranks"), std::string::npos) << text;
    EXPECT_NE(text.find("run.share_devices"), std::string::npos) << text;
  }
}

TEST(DevicePlacement, NoDeviceAtAll) {
  EXPECT_THROW(indices({7}, 0, true), core::ConfigError);
}

}  // namespace
}  // namespace athanor::parallel
