// The vector code of attention, loss and combining gives the same bits with every instruction set: this
// processor's against the portable one.
#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/rng.h"
#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/loss_rows.h"
#include "kernels/cpu/row_sums.h"
#include "kernels/cpu/tile_packing.h"
#include "kernels/cpu/tile_softmax.h"

namespace athanor::kernels::cpu {
namespace {

std::vector<float> normal(const std::string& name, int64_t count, double scale = 1.0) {
  const core::CounterRng rng(3, name);
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(rng.normal(i) * scale);
  return values;
}

template <typename T>
std::vector<T> narrowed(const std::vector<float>& values);
template <>
std::vector<float> narrowed(const std::vector<float>& values) {
  return values;
}
template <>
std::vector<Bf16> narrowed(const std::vector<float>& values) {
  std::vector<Bf16> out(values.size());
  portable::kAttentionRowsBf16.narrow_row(out.data(), values.data(), static_cast<int64_t>(values.size()));
  return out;
}

template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

constexpr int64_t kRows = 5, kOutputs = 32;

struct ForwardState {
  std::vector<float> scores, largest, lane_sums, outputs;
};

// Two blocks: the first whole, the second with masks, a row that sees nothing and a partial group of lanes.
ForwardState run_forward(const ScoreTileTable& table) {
  ForwardState s{normal("scores", kRows * kKeysPerBlock, 5.0),
                 std::vector<float>(kRows, -std::numeric_limits<float>::infinity()),
                 std::vector<float>(kRows * kSumLanes), normal("outputs", kRows * kOutputs)};
  const RunningSoftmax running{s.largest.data(), s.lane_sums.data(), s.outputs.data(), kOutputs};
  const std::vector<KeyRange> all(kRows, {-70, 64}), some{{0, 37}, {5, 36}, {0, 0}, {36, 37}, {70, 90}};
  table.softmax_forward({kRows, 64, s.scores.data(), all.data(), 0.3f}, running);
  s.scores = normal("more scores", kRows * kKeysPerBlock, 9.0);
  table.softmax_forward({kRows, 37, s.scores.data(), some.data(), 0.3f}, running);
  return s;
}

TEST(SimdTables, SoftmaxForward) {
  const ForwardState a = run_forward(portable::kScoreTile), b = run_forward(score_tile_table());
  EXPECT_TRUE(same_bits(a.scores, b.scores));
  EXPECT_TRUE(same_bits(a.largest, b.largest));
  EXPECT_TRUE(same_bits(a.lane_sums, b.lane_sums));
  EXPECT_TRUE(same_bits(a.outputs, b.outputs));
}

TEST(SimdTables, SoftmaxBackward) {
  const auto run = [](const ScoreTileTable& table) {
    auto scores = normal("scores", kRows * kKeysPerBlock, 5.0), dp = normal("dp", kRows * kKeysPerBlock);
    const auto lse = normal("lse", kRows), delta = normal("delta", kRows);
    const std::vector<KeyRange> visible{{0, 37}, {5, 36}, {0, 0}, {36, 37}, {-9, 1}};
    table.softmax_backward({kRows, 37, scores.data(), visible.data(), 0.3f}, dp.data(), lse.data(),
                           delta.data());
    scores.insert(scores.end(), dp.begin(), dp.end());
    return scores;
  };
  EXPECT_TRUE(same_bits(run(portable::kScoreTile), run(score_tile_table())));
}

// Rows of a block that see all of it; some of it; nothing.
const std::vector<KeyRange>& block_ranges() {
  static const std::vector<KeyRange> ranges{{-3, 128}, {0, 70}, {33, 36}, {0, 0}, {-50, 1}, {127, 500}};
  return ranges;
}

TEST(SimdTables, TileSoftmaxForward) {
  const auto num_rows = static_cast<int64_t>(block_ranges().size());
  const auto run = [&](const TileSoftmaxTable& table) {
    std::vector<float> largest(num_rows, -std::numeric_limits<float>::infinity()),
        lane_sums(num_rows * kSumLanes), outputs = normal("outputs", num_rows * kOutputs);
    std::vector<Bf16> p(num_rows * kBlockKeys), more(p.size());
    const RunningSoftmax running{largest.data(), lane_sums.data(), outputs.data(), kOutputs};
    auto scores = normal("scores", num_rows * kBlockKeys, 5.0);
    table.forward({num_rows, scores.data(), nullptr, 0.3f}, running, p.data());
    scores = normal("more scores", num_rows * kBlockKeys, 9.0);
    table.forward({num_rows, scores.data(), block_ranges().data(), 0.3f}, running, more.data());
    table.narrow_row(p.data(), outputs.data(), 0.7f, kOutputs - 3);
    outputs.insert(outputs.end(), largest.begin(), largest.end());
    outputs.insert(outputs.end(), lane_sums.begin(), lane_sums.end());
    p.insert(p.end(), more.begin(), more.end());
    return std::make_pair(outputs, p);
  };
  const auto expected = run(portable::kTileSoftmax), result = run(tile_softmax_table());
  EXPECT_TRUE(same_bits(expected.first, result.first));
  EXPECT_TRUE(same_bits(expected.second, result.second));
}

TEST(SimdTables, TileSoftmaxBackward) {
  const auto num_rows = static_cast<int64_t>(block_ranges().size());
  const auto dp = normal("dp", num_rows * kBlockKeys), lse = normal("lse", num_rows),
             delta = normal("delta", num_rows);
  for (const KeyRange* visible : {static_cast<const KeyRange*>(nullptr), block_ranges().data()}) {
    const auto run = [&](const TileSoftmaxTable& table) {
      auto scores = normal("scores", num_rows * kBlockKeys, 5.0);
      const int64_t size = num_rows * kBlockKeys;
      std::vector<Bf16> out(3 * size);
      table.backward({num_rows, scores.data(), visible, 0.3f},
                     {dp.data(), lse.data(), delta.data(), out.data(), out.data() + size, size / 2,
                      out.data() + 2 * size});
      return out;
    };
    EXPECT_TRUE(same_bits(run(portable::kTileSoftmax), run(tile_softmax_table())));
  }
}

template <typename T>
void check_attention_rows(const AttentionRowTable<T>& portable_rows) {
  constexpr int64_t kStride = 41;
  const auto rows = narrowed<T>(normal("rows", 37 * kStride));
  for (const int64_t num_rows : {1, 3, 16, 37})
    for (const int64_t size : {1, 7, 16, 39}) {
      const auto run = [&](const AttentionRowTable<T>& table) {
        std::vector<float> out(static_cast<size_t>(48 * size + num_rows * 48 + 1));
        table.pack_as_columns(out.data(), rows.data(), kStride, num_rows, size);
        table.pack_as_depth(out.data() + 48 * size, rows.data(), kStride, num_rows, size);
        out.back() = table.dot(rows.data(), rows.data() + kStride, size);
        return out;
      };
      EXPECT_TRUE(same_bits(run(portable_rows), run(attention_row_table<T>())))
          << num_rows << " rows of " << size;
    }
}

TEST(SimdTables, AttentionRows) {
  check_attention_rows(portable::kAttentionRowsF32);
  check_attention_rows(portable::kAttentionRowsBf16);
}

TEST(SimdTables, LogSumExpAndItsGradient) {
  for (const int64_t count : {1, 15, 16, 100}) {
    const auto logits = normal("logits", count, 6.0);
    const auto run = [&](const LogSumExpTable& sums, const LossGradientTable<float>& gradients) {
      RunningLogSumExp running;
      sums.update(running, logits.data(), count);
      sums.update(running, logits.data(), count / 2);
      std::vector<float> out(static_cast<size_t>(count));
      gradients.softmax_gradient(out.data(), logits.data(), count,
                                 {count / 3, running.largest, sums.sum(running), 0.7f});
      out.push_back(sums.sum(running));
      return out;
    };
    EXPECT_TRUE(same_bits(run(portable::kLogSumExp, portable::kLossGradientF32),
                          run(log_sum_exp_table(), loss_gradient_table<float>())))
        << count << " logits";
  }
}

template <typename T>
void check_row_sums(const RowSumTable<T>& portable_sums) {
  const auto rows = narrowed<T>(normal("rows", 4 * 37));
  const std::vector<int32_t> chosen{2, -1, 0, 3};
  const std::vector<float> weights{0.3f, 9.0f, -1.5f, 0.01f};
  const auto run = [&](const RowSumTable<T>& table) {
    std::vector<T> out(2 * 37);
    table.sum_chosen_rows(out.data(), rows.data(), chosen.data(), weights.data(), 4, 37);
    const float dot = table.scale_and_dot(out.data() + 37, rows.data(), rows.data() + 37, 0.3f, 37);
    const auto* bytes = reinterpret_cast<const char*>(out.data());
    std::string result(bytes, out.size() * sizeof(T));
    return result.append(reinterpret_cast<const char*>(&dot), sizeof(dot));
  };
  EXPECT_EQ(run(portable_sums), run(row_sum_table<T>()));
}

TEST(SimdTables, RowSums) {
  check_row_sums(portable::kRowSumsF32);
  check_row_sums(portable::kRowSumsBf16);
}

std::vector<Bf16> counted(int64_t count) {
  std::vector<Bf16> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i].bits = static_cast<uint16_t>(i + 1);
  return values;
}

/// What packing means, element by element.
std::vector<Bf16> packed_plainly(const std::vector<Bf16>& b, int64_t column_stride, int64_t depth_stride,
                                 int64_t width, int64_t depth) {
  std::vector<Bf16> packed(static_cast<size_t>((depth + 1) / 2 * 2 * kTileColumns));
  for (int64_t k = 0; k < depth; ++k)
    for (int64_t n = 0; n < width; ++n)
      packed[static_cast<size_t>((k / 2 * kTileColumns + n) * 2 + k % 2)] =
          b[static_cast<size_t>(n * column_stride + k * depth_stride)];
  return packed;
}

// With every instruction set that this processor has; guards around the results stay untouched.
TEST(SimdTables, TilePacking) {
  constexpr int64_t kStride = 101, kGuard = 7;
  constexpr uint16_t kUntouched = 0xabcd;
  const auto b = counted(kStride * kStride);
  const auto with_guards = [&](size_t count, const auto& body) {
    std::vector<Bf16> out(count + 2 * kGuard, Bf16{kUntouched});
    body(out.data() + kGuard);
    for (size_t i = 0; i < kGuard; ++i) {
      EXPECT_EQ(out[i].bits, kUntouched);
      EXPECT_EQ(out[out.size() - 1 - i].bits, kUntouched);
    }
    return std::vector<Bf16>(out.begin() + kGuard, out.end() - kGuard);
  };
  for (const TilePackingTable* table : {&portable::kTilePacking, &tile_packing_table()})
    for (const int64_t width : {1, 8, 15, 16, 33, 63, 64})
      for (const int64_t depth : {0, 1, 2, 15, 16, 31, 32, 48, 65}) {
        SCOPED_TRACE(::testing::Message() << width << " columns, depth " << depth);
        const auto rows = packed_plainly(b, 1, kStride, width, depth),
                   columns = packed_plainly(b, kStride, 1, width, depth);
        EXPECT_TRUE(same_bits(rows, with_guards(rows.size(), [&](Bf16* to) {
                                table->pack_rows(to, b.data(), kStride, width, depth);
                              })));
        EXPECT_TRUE(same_bits(columns, with_guards(columns.size(), [&](Bf16* to) {
                                table->pack_columns(to, b.data(), kStride, width, depth);
                              })));
        constexpr int64_t kToStride = 70;
        std::vector<Bf16> transposed(static_cast<size_t>(width * kToStride), Bf16{kUntouched});
        for (int64_t r = 0; r < width; ++r)
          for (int64_t k = 0; k < depth; ++k)
            transposed[static_cast<size_t>(r * kToStride + k)] = b[static_cast<size_t>(k * kStride + r)];
        EXPECT_TRUE(same_bits(transposed, with_guards(transposed.size(), [&](Bf16* to) {
                                table->transpose(to, kToStride, b.data(), kStride, width, depth);
                              })));
      }
}

}  // namespace
}  // namespace athanor::kernels::cpu
