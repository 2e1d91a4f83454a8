#include "parallel/flat_layout.h"

#include <ATen/ops/arange.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace athanor::parallel {
namespace {

constexpr int64_t kUnit = kernels::kFlatAlignment;

FlatLayout layout_of(const std::vector<NamedShape>& parameters) {
  return FlatLayout(parameters);
}

FlatLayout example() {
  return FlatLayout({{"weight", {3, 300}}, {"bias", {7}}, {"scalar", {}}, {"exact", {2, kUnit}}});
}

TEST(FlatLayout, ParametersStartAtAlignedOffsets) {
  const FlatLayout layout = example();
  EXPECT_EQ(layout.parameter("weight").begin, 0);
  EXPECT_EQ(layout.parameter("bias").begin, 4 * kUnit);  // 900 elements fill four units
  EXPECT_EQ(layout.parameter("scalar").begin, 5 * kUnit);
  EXPECT_EQ(layout.parameter("scalar").num_elements, 1);
  EXPECT_EQ(layout.used_size(), 8 * kUnit);
}

// Three matrices of 300 elements, each in two units of its own.
FlatLayout stack_example() {
  return FlatLayout({{"norm", {5}}, {"experts", {3, 30, 10}, true}, {"after", {4}}});
}

TEST(FlatLayout, MatricesOfAStackStartAtAlignedOffsets) {
  const FlatLayout layout = stack_example();
  EXPECT_EQ(layout.parameter("after").begin, 7 * kUnit);
  const at::Tensor flat = at::arange(layout.padded_size(1), at::kFloat);
  const at::Tensor view = layout.view(flat, layout.parameter("experts"));
  EXPECT_EQ(view.sizes().vec(), (std::vector<int64_t>{3, 30, 10}));
  EXPECT_EQ(view[2][0][0].item<float>(), 5 * kUnit);
  EXPECT_EQ(view[1][29][9].item<float>(), 3 * kUnit + 299);
}

TEST(FlatLayout, PiecesOfAStackAreItsMatricesWhereverSlicesBegin) {
  const FlatLayout layout = stack_example();
  for (const int num_shards : {1, 2, 3, 4, 8}) {
    int64_t next = 0;
    for (int s = 0; s < num_shards; ++s) {
      const ElementRange shard = layout.shard(num_shards, s);
      for (const ParameterPiece& piece : layout.pieces(shard)) {
        if (piece.parameter_idx != 1) continue;
        EXPECT_EQ(piece.parameter_begin, next);
        const int64_t matrix = piece.parameter_begin / 300;
        EXPECT_LE(piece.parameter_end, (matrix + 1) * 300);
        EXPECT_EQ(shard.begin + piece.slice_begin, (1 + 2 * matrix) * kUnit + piece.parameter_begin % 300);
        next = piece.parameter_end;
      }
    }
    EXPECT_EQ(next, 900) << num_shards;
  }
}

TEST(FlatLayout, ShardsAreEqualAlignedAndCoverEverything) {
  const FlatLayout layout = example();
  for (const int num_shards : {1, 2, 3, 4, 7, 8, 64}) {
    const int64_t padded = layout.padded_size(num_shards);
    EXPECT_GE(padded, layout.used_size());
    EXPECT_LT(padded, layout.used_size() + num_shards * kUnit);
    EXPECT_EQ(layout.shard_size(num_shards) % kUnit, 0);
    int64_t end = 0;
    for (int s = 0; s < num_shards; ++s) {
      EXPECT_EQ(layout.shard(num_shards, s).begin, end);
      end = layout.shard(num_shards, s).end;
    }
    EXPECT_EQ(end, padded);
  }
}

TEST(FlatLayout, PiecesOfAllShardsRebuildEveryParameter) {
  const FlatLayout layout = example();
  for (const int num_shards : {1, 2, 3, 8}) {
    std::vector<int64_t> rebuilt(layout.parameters().size(), 0);
    for (int s = 0; s < num_shards; ++s) {
      const ElementRange shard = layout.shard(num_shards, s);
      for (const ParameterPiece& piece : layout.pieces(shard)) {
        EXPECT_EQ(piece.parameter_begin, rebuilt[piece.parameter_idx]);
        const FlatParameter& parameter = layout.parameters()[piece.parameter_idx];
        EXPECT_EQ(shard.begin + piece.slice_begin, parameter.begin + piece.parameter_begin);
        rebuilt[piece.parameter_idx] = piece.parameter_end;
      }
    }
    for (size_t i = 0; i < rebuilt.size(); ++i) EXPECT_EQ(rebuilt[i], layout.parameters()[i].num_elements);
  }
}

TEST(FlatLayout, SliceInsidePaddingHoldsNothing) {
  const FlatLayout layout = example();
  EXPECT_TRUE(layout.pieces({900, 4 * kUnit}).empty());
  EXPECT_TRUE(layout.pieces({layout.used_size(), layout.used_size() + kUnit}).empty());
  EXPECT_TRUE(layout.pieces({10, 10}).empty());
}

TEST(FlatLayout, RangesSelectByParameterAndJoinNeighbours) {
  const FlatLayout layout({{"a", {kUnit}}, {"b", {kUnit}}, {"norm", {5}}, {"c", {2, 3}}});
  const auto is_not_norm = [](const FlatParameter& p) { return p.name != "norm"; };
  const auto ranges = layout.ranges({kUnit / 2, layout.used_size()}, is_not_norm);
  ASSERT_EQ(ranges.size(), 2u);
  EXPECT_EQ(ranges[0].begin, 0);
  EXPECT_EQ(ranges[0].end, kUnit * 3 / 2);
  EXPECT_EQ(ranges[1].begin, kUnit * 5 / 2);
  EXPECT_EQ(ranges[1].end, kUnit * 5 / 2 + 6);
}

TEST(FlatLayout, ViewsShareTheBuffer) {
  const FlatLayout layout = example();
  const at::Tensor flat = at::arange(layout.padded_size(4), at::kFloat);
  const at::Tensor view = layout.view(flat, layout.parameter("exact"));
  EXPECT_EQ(view.sizes(), (std::vector<int64_t>{2, kUnit}));
  EXPECT_EQ(view.const_data_ptr<float>(), flat.const_data_ptr<float>() + 6 * kUnit);
}

TEST(FlatLayout, BadParametersAreRefused) {
  EXPECT_THROW(layout_of({{"a", {1}}, {"a", {2}}}), core::InternalError);
  EXPECT_THROW(layout_of({{"a", {0}}}), core::InternalError);
  EXPECT_THROW(layout_of({{"a", {-2, -2}}}), core::InternalError);
  EXPECT_THROW(layout_of({{"a", {int64_t{1} << 40, int64_t{1} << 40}}}), core::InternalError);
  EXPECT_THROW(layout_of({{"a", {int64_t{1} << 61}}, {"b", {int64_t{1} << 61}}}), core::InternalError);
  EXPECT_THROW(example().parameter("none"), core::InternalError);
  EXPECT_THROW(example().padded_size(0), core::InternalError);
}

}  // namespace
}  // namespace athanor::parallel
