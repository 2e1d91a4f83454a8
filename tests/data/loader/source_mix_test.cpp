#include "data/loader/source_mix.h"

#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "core/error.h"

namespace athanor::data {
namespace {

TEST(SourceMix, NumbersTheSequencesOfEachSourceWithoutGaps) {
  const std::vector<double> weights = {0.5, 3, 1, 0.01, 2.25, 7, 1};
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  const SourceMix mix(weights);
  std::vector<uint64_t> seen(weights.size());
  for (uint64_t i = 0; i < 20000; ++i) {
    if (i % 500 == 0) {
      ASSERT_EQ(mix.counts(i), seen) << i;
    }
    const SourcePlace place = mix.place(i);
    ASSERT_EQ(place.index, seen[place.source_idx]++);
    for (size_t s = 0; s < weights.size(); ++s)  // never off the share by more than the depth of the tree
      ASSERT_LE(std::abs(static_cast<double>(seen[s]) - static_cast<double>(i + 1) * weights[s] / total),
                3.0);
  }
}

TEST(SourceMix, SharesAreExactInTheLimit) {
  const SourceMix mix(std::vector<double>{1, 2});
  const uint64_t many = uint64_t{1} << 60;
  EXPECT_LE(std::abs(static_cast<int64_t>(mix.counts(many)[0] - many / 3)), 512);  // a double's share of 2^60
  EXPECT_EQ(mix.counts(many)[0] + mix.counts(many)[1], many);
}

TEST(SourceMix, OneSourceTakesAll) {
  const SourceMix mix(std::vector<double>{0.3});
  EXPECT_EQ(mix.place(12345).index, 12345u);
}

TEST(SourceMix, RefusesWeightsThatAreNoShares) {
  for (const double bad : {0.0, -1.0, std::nan(""), HUGE_VAL})
    EXPECT_THROW(SourceMix(std::vector<double>{1.0, bad}), core::ConfigError) << bad;
}

}  // namespace
}  // namespace athanor::data
