// Softmax between tile products, compiled once per instruction set. A row is worked on in groups of 32 keys;
// groups of which it sees nothing are not looked at, groups of which it sees a part get minus infinity for
// the rest.
#include "kernels/cpu/simd.h"
#include "kernels/cpu/simd_math.h"
#include "kernels/cpu/tile_softmax.h"

namespace athanor::kernels::cpu::ATHANOR_ISA {
namespace {

constexpr float kMinusInfinity = -__builtin_inff();
constexpr float kLowest = -__FLT_MAX__;

/// The groups of keys [begin, end) of one row or of a pair of rows, in keys.
struct Groups {
  int64_t begin, end;
};
constexpr Groups kAllGroups{0, kBlockKeys};

/// The part of a range that lies in the block.
ATHANOR_INLINE KeyRange clipped(KeyRange range) {
  const int64_t begin = range.begin > 0 ? range.begin : 0;
  const int64_t end = range.end < kBlockKeys ? range.end : kBlockKeys;
  return begin < end ? KeyRange{begin, end} : KeyRange{0, 0};
}

ATHANOR_INLINE Groups groups_of(KeyRange range) {
  return {range.begin / kSplitKeys * kSplitKeys, (range.end + kSplitKeys - 1) / kSplitKeys * kSplitKeys};
}

ATHANOR_INLINE Groups joined(KeyRange a, KeyRange b) {
  if (a.begin == a.end) return groups_of(b);
  if (b.begin == b.end) return groups_of(a);
  return groups_of({a.begin < b.begin ? a.begin : b.begin, a.end > b.end ? a.end : b.end});
}

ATHANOR_INLINE void mask(float* scores, KeyRange seen, Groups groups) {
  for (int64_t key = groups.begin; key < seen.begin; ++key) scores[key] = kMinusInfinity;
  for (int64_t key = seen.end; key < groups.end; ++key) scores[key] = kMinusInfinity;
}

ATHANOR_INLINE void clear(Bf16* values, int64_t begin, int64_t end) {
  if (begin < end) memset(values + begin, 0, static_cast<size_t>(end - begin) * sizeof(Bf16));
}

ATHANOR_INLINE void rescale(float* values, int64_t size, F32x16 factor) {
  for (int64_t i = 0; i < size; i += kLanes) store(values + i, mul(load(values + i), factor));
}

ATHANOR_INLINE float largest_score(const float* scores, Groups groups) {
  F32x16 even = set1(kMinusInfinity), odd = even;
  for (int64_t key = groups.begin; key < groups.end; key += kSplitKeys) {
    even = max(even, load(scores + key));
    odd = max(odd, load(scores + key + kLanes));
  }
  return max_lanes(max(even, odd));
}

// ---- forward

// Largest scores are found for some rows at once, so that no row waits for its own.
constexpr int64_t kRowsAtOnce = 8;

struct Row {
  const float* scores;
  Groups groups;
  Bf16* p;
  float largest_in_block;
};

ATHANOR_INLINE Groups mask_row(float* scores, KeyRange visible, Bf16* p) {
  const KeyRange seen = clipped(visible);
  const Groups groups = groups_of(seen);
  mask(scores, seen, groups);
  clear(p, 0, groups.begin);
  clear(p, groups.end, kBlockKeys);
  return groups;
}

ATHANOR_INLINE Row row_of(const BlockScores& block, int64_t r, Bf16* p) {
  float* scores = block.scores + r * kBlockKeys;
  const Groups groups = block.visible ? mask_row(scores, block.visible[r], p) : kAllGroups;
  return {scores, groups, p, largest_score(scores, groups) * block.scale};
}

ATHANOR_INLINE void raise_largest(const RunningSoftmax& running, int64_t r, float in_block) {
  const float before = running.largest[r];
  if (in_block <= before) return;
  running.largest[r] = in_block;
  // Everything so far was relative to the old largest score.
  const F32x16 factor = exp2_flushed(set1(before - in_block));
  rescale(running.lane_sums + r * kLanes, kLanes, factor);
  rescale(running.outputs + r * running.output_stride, running.output_stride, factor);
}

ATHANOR_INLINE void exponentiate(const Row& row, float scale, float largest, float* lane_sums) {
  // A row that has seen minus infinity only gets probabilities of zero, not NaN.
  const F32x16 factor = set1(scale), reference = set1(largest < kLowest ? -kLowest : -largest);
  F32x16 sums = load(lane_sums);
  for (int64_t key = row.groups.begin; key < row.groups.end; key += kSplitKeys) {
    const F32x16 even = exp2_flushed(fma(load(row.scores + key), factor, reference));
    const F32x16 odd = exp2_flushed(fma(load(row.scores + key + kLanes), factor, reference));
    sums = add(add(sums, even), odd);
    store_uppers(row.p + key, rounded_in_upper(even), rounded_in_upper(odd));
  }
  store(lane_sums, sums);
}

void run_forward(const BlockScores& block, const RunningSoftmax& running, Bf16* p) {
  for (int64_t first = 0; first < block.num_rows; first += kRowsAtOnce) {
    const int64_t count = block.num_rows - first < kRowsAtOnce ? block.num_rows - first : kRowsAtOnce;
    Row rows[kRowsAtOnce];
    for (int64_t i = 0; i < count; ++i) rows[i] = row_of(block, first + i, p + (first + i) * kBlockKeys);
    for (int64_t i = 0; i < count; ++i) raise_largest(running, first + i, rows[i].largest_in_block);
    for (int64_t i = 0; i < count; ++i)
      exponentiate(rows[i], block.scale, running.largest[first + i],
                   running.lane_sums + (first + i) * kLanes);
  }
}

// ---- backward

/// Sixteen keys of one row.
struct RowLanes {
  F32x16 p, ds;
};

struct RowFactors {
  F32x16 scale, lse, delta;  ///< lse: negative
};

ATHANOR_INLINE RowLanes backward_lanes(const float* scores, const float* dp, const RowFactors& factors) {
  const F32x16 p = exp2_flushed(fma(load(scores), factors.scale, factors.lse));
  return {rounded_in_upper(p), rounded_in_upper(mul(p, sub(load(dp), factors.delta)))};
}

/// A pair of rows: where its values are read and written.
struct RowPair {
  const float *scores, *dp;
  RowFactors even, odd;
  Bf16 *p_pairs, *ds_pairs, *ds;
  int64_t half_stride;
};

ATHANOR_INLINE int64_t place_of_pair(int64_t key, int64_t half_stride) {
  return key / kHalfBlockKeys * half_stride + key % kHalfBlockKeys * 2;
}

ATHANOR_INLINE void backward_groups(const RowPair& pair, Groups groups) {
  for (int64_t key = groups.begin; key < groups.end; key += kSplitKeys) {
    RowLanes even[2], odd[2];
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const int64_t first = key + half * kLanes, below = first + kBlockKeys;
      const int64_t place = place_of_pair(first, pair.half_stride);
      even[half] = backward_lanes(pair.scores + first, pair.dp + first, pair.even);
      odd[half] = backward_lanes(pair.scores + below, pair.dp + below, pair.odd);
      store_uppers(pair.p_pairs + place, even[half].p, odd[half].p);
      store_uppers(pair.ds_pairs + place, even[half].ds, odd[half].ds);
    }
    store_uppers(pair.ds + key, even[0].ds, even[1].ds);
    store_uppers(pair.ds + kBlockKeys + key, odd[0].ds, odd[1].ds);
  }
}

ATHANOR_INLINE void clear_groups(const RowPair& pair, int64_t begin, int64_t end) {
  clear(pair.ds, begin, end);
  clear(pair.ds + kBlockKeys, begin, end);
  for (int64_t key = begin; key < end; key += kSplitKeys) {
    const int64_t place = place_of_pair(key, pair.half_stride);
    clear(pair.p_pairs, place, place + 2 * kSplitKeys);
    clear(pair.ds_pairs, place, place + 2 * kSplitKeys);
  }
}

ATHANOR_INLINE RowFactors factors_of(const BlockScores& block, const BlockGradients& g, int64_t row) {
  return {set1(block.scale), set1(-g.lse[row]), set1(g.delta[row])};
}

ATHANOR_INLINE Groups masked_groups(const BlockScores& block, int64_t row) {
  const KeyRange even = clipped(block.visible[row]), odd = clipped(block.visible[row + 1]);
  const Groups groups = joined(even, odd);
  mask(block.scores + row * kBlockKeys, even, groups);
  mask(block.scores + (row + 1) * kBlockKeys, odd, groups);
  return groups;
}

void run_backward(const BlockScores& block, const BlockGradients& g) {
  for (int64_t row = 0; row < block.num_rows; row += 2) {
    const RowPair pair{block.scores + row * kBlockKeys,  g.dp + row * kBlockKeys,
                       factors_of(block, g, row),        factors_of(block, g, row + 1),
                       g.p_pairs + row * kHalfBlockKeys, g.ds_pairs + row * kHalfBlockKeys,
                       g.ds + row * kBlockKeys,          g.half_stride};
    const Groups groups = block.visible ? masked_groups(block, row) : kAllGroups;
    backward_groups(pair, groups);
    clear_groups(pair, 0, groups.begin);
    clear_groups(pair, groups.end, kBlockKeys);
  }
}

void run_narrow_row(Bf16* out, const float* row, float factor, int64_t size) {
  const F32x16 factors = set1(factor);
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) store(out + i, mul(load(row + i), factors));
  if (i < size) store_first(out + i, mul(load_first(row + i, size - i), factors), size - i);
}

}  // namespace

extern const TileSoftmaxTable kTileSoftmax;
const TileSoftmaxTable kTileSoftmax{run_forward, run_backward, run_narrow_row};

}  // namespace athanor::kernels::cpu::ATHANOR_ISA
