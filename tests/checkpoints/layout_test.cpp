#include "checkpoints/layout.h"

#include <map>

#include <gtest/gtest.h>

#include "core/rng.h"

namespace athanor::checkpoints {
namespace {

uint64_t global_index(const Shape& global, const Box& box, uint64_t flat) {
  uint64_t index = 0, stride = 1;
  for (size_t dim = global.size(); dim-- > 0;) {
    index += (flat % box.shape[dim] + box.offset[dim]) * stride;
    flat /= box.shape[dim];
    stride *= global[dim];
  }
  return index;
}

Piece random_piece(const core::CounterRng& rng, uint64_t& counter, const Shape& global) {
  Piece piece;
  for (const int64_t dim : global) {
    const auto offset = static_cast<int64_t>(rng.below(counter++, dim));
    piece.box.offset.push_back(rng.below(counter++, 2) ? 0 : offset);
    const int64_t room = dim - piece.box.offset.back();
    piece.box.shape.push_back(rng.below(counter++, 2) ? room
                                                      : 1 + static_cast<int64_t>(rng.below(counter++, room)));
  }
  const uint64_t count = num_elements(piece.box.shape);
  piece.begin = rng.below(counter++, count + 1);
  piece.end = piece.begin + rng.below(counter++, count - piece.begin + 1);
  return piece;
}

TEST(Layout, OverlapsAgreeWithElementByElementSearch) {
  const core::CounterRng rng(1, "overlaps");
  uint64_t counter = 0;
  const std::vector<Shape> shapes{{}, {7}, {3, 5}, {4, 3, 5}, {2, 3, 2, 4}};
  for (int trial = 0; trial < 2000; ++trial) {
    const Shape& global = shapes[rng.below(counter++, shapes.size())];
    const Piece source = random_piece(rng, counter, global), target = random_piece(rng, counter, global);
    std::map<uint64_t, uint64_t> expected, found;  // target offset -> source offset
    for (uint64_t s = source.begin; s < source.end; ++s)
      for (uint64_t t = target.begin; t < target.end; ++t)
        if (global_index(global, source.box, s) == global_index(global, target.box, t))
          expected[t - target.begin] = s - source.begin;
    uint64_t last_source = 0;
    for_each_overlap(global, source, target, [&](uint64_t from, uint64_t to, uint64_t count) {
      EXPECT_GE(from, last_source) << "stretches must ascend";
      last_source = from + count;
      for (uint64_t i = 0; i < count; ++i) EXPECT_TRUE(found.emplace(to + i, from + i).second);
    });
    ASSERT_EQ(found, expected) << "trial " << trial;
  }
}

TEST(Layout, EqualPiecesShareOneStretch) {
  const Piece piece{{{0, 2}, {4, 2}}, 1, 7};
  int stretches = 0;
  for_each_overlap({4, 8}, piece, piece, [&](uint64_t from, uint64_t to, uint64_t count) {
    EXPECT_EQ(from, 0u);
    EXPECT_EQ(to, 0u);
    EXPECT_EQ(count, 6u);
    ++stretches;
  });
  EXPECT_EQ(stretches, 1);
}

TEST(Layout, TilingFindsHolesOverlapsAndTooMuch) {
  const Shape global{4, 6};
  const Box left{{0, 0}, {4, 3}}, right{{0, 3}, {4, 3}}, middle{{0, 2}, {4, 3}};
  const auto error = [&](std::vector<Piece> pieces) { return tiling_error(global, pieces).value_or("fine"); };
  EXPECT_EQ(error({{left, 0, 12}, {right, 5, 12}, {right, 0, 5}}), "fine");
  EXPECT_EQ(error({{whole_box(global), 0, 24}}), "fine");
  EXPECT_EQ(error({{left, 0, 12}, {right, 0, 5}, {right, 6, 12}}), "elements [5, 6) are held by nobody");
  EXPECT_EQ(error({{left, 0, 12}, {right, 0, 5}, {right, 4, 12}}), "elements [4, 5) are held twice");
  EXPECT_EQ(error({{left, 0, 12}, {right, 0, 11}}), "elements [11, 12) are held by nobody");
  EXPECT_EQ(error({{left, 0, 12}}), "its boxes hold 12 of 24 elements");
  EXPECT_NE(error({{left, 0, 12}, {middle, 0, 12}}).find("overlap"), std::string::npos);
  EXPECT_EQ(error({}), "its boxes hold 0 of 24 elements");
  EXPECT_FALSE(tiling_error({0, 6}, {}).has_value());
}

TEST(Layout, BoxesOutsideTheTensorDoNotFit) {
  EXPECT_TRUE(fits({{1, 2}, {3, 4}}, {4, 6}));
  EXPECT_FALSE(fits({{1, 2}, {4, 4}}, {4, 6}));
  EXPECT_FALSE(fits({{-1, 2}, {3, 4}}, {4, 6}));
  EXPECT_FALSE(fits({{1}, {3}}, {4, 6}));
  EXPECT_FALSE(fits({{INT64_MAX, 0}, {INT64_MAX, 6}}, {4, 6}));
}

TEST(Dtypes, ConvertRoundsToNearestEvenAndKeepsNan) {
  const std::vector<uint32_t> f32{0x3f800000, 0x3f808000, 0x3f818000, 0x7f800001, 0x7f7fffff, 0x80000001};
  const std::vector<uint16_t> expected{0x3f80, 0x3f80, 0x3f82, 0x7fc0, 0x7f80, 0x8000};
  std::vector<uint16_t> bf16(f32.size());
  convert(std::as_bytes(std::span(f32)), Dtype::kF32, std::as_writable_bytes(std::span(bf16)), Dtype::kBF16);
  EXPECT_EQ(bf16, expected);
  std::vector<uint32_t> back(bf16.size());
  convert(std::as_bytes(std::span(bf16)), Dtype::kBF16, std::as_writable_bytes(std::span(back)), Dtype::kF32);
  for (size_t i = 0; i < back.size(); ++i) EXPECT_EQ(back[i], uint32_t{bf16[i]} << 16);
  EXPECT_FALSE(can_convert(Dtype::kF32, Dtype::kF16));
}

}  // namespace
}  // namespace athanor::checkpoints
