// Softmax of a tile of attention scores, and the packing of rows, compiled once per instruction set.
#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/simd_math.h"

namespace athanor::kernels::cpu::ATHANOR_ISA {
namespace {

constexpr float kMinusInfinity = -__builtin_inff();
constexpr float kLowest = -__FLT_MAX__;

ATHANOR_INLINE int64_t whole_lanes(int64_t count) {
  return (count + kLanes - 1) / kLanes * kLanes;
}

/// Scores that the row does not see become minus infinity, up to the end of the last group of lanes.
ATHANOR_INLINE void mask_scores(float* scores, KeyRange visible, int64_t padded_keys) {
  for (int64_t key = 0; key < visible.begin && key < padded_keys; ++key) scores[key] = kMinusInfinity;
  for (int64_t key = visible.end > 0 ? visible.end : 0; key < padded_keys; ++key)
    scores[key] = kMinusInfinity;
}

ATHANOR_INLINE float scaled_maximum(float* scores, int64_t padded_keys, F32x16 scale) {
  F32x16 largest = set1(kMinusInfinity);
  for (int64_t key = 0; key < padded_keys; key += kLanes) {
    const F32x16 scaled = mul(load(scores + key), scale);
    store(scores + key, scaled);
    largest = max(largest, scaled);
  }
  return max_lanes(largest);
}

ATHANOR_INLINE void rescale(float* values, int64_t size, F32x16 factor) {
  for (int64_t i = 0; i < size; i += kLanes) store(values + i, mul(load(values + i), factor));
}

void run_softmax_forward(const ScoreTile& tile, const RunningSoftmax& running) {
  const int64_t padded_keys = whole_lanes(tile.num_keys);
  const F32x16 scale = set1(tile.softmax_scale);
  for (int64_t r = 0; r < tile.num_rows; ++r) {
    float* scores = tile.scores + r * kKeysPerBlock;
    float* lane_sums = running.lane_sums + r * kLanes;
    mask_scores(scores, tile.visible[r], padded_keys);
    const float before = running.largest[r];
    const float in_block = scaled_maximum(scores, padded_keys, scale);
    if (!(in_block <= before)) {
      running.largest[r] = in_block;
      // Everything so far was relative to the old largest score.
      const F32x16 factor = exp_flushed(set1(before - in_block));
      rescale(lane_sums, kLanes, factor);
      rescale(running.outputs + r * running.output_stride, running.output_stride, factor);
    }
    // A row that has seen no key yet has -infinity - kLowest = -infinity: probabilities of zero, not NaN.
    const float largest = running.largest[r];
    const F32x16 reference = set1(largest < kLowest ? kLowest : largest);
    F32x16 sums = load(lane_sums);
    for (int64_t key = 0; key < padded_keys; key += kLanes) {
      const F32x16 p = exp_flushed(sub(load(scores + key), reference));
      store(scores + key, p);
      sums = add(sums, p);
    }
    store(lane_sums, sums);
  }
}

void run_softmax_backward(const ScoreTile& tile, float* dp, const float* lse, const float* delta) {
  const int64_t padded_keys = whole_lanes(tile.num_keys);
  const F32x16 scale = set1(tile.softmax_scale);
  for (int64_t r = 0; r < tile.num_rows; ++r) {
    float* scores = tile.scores + r * kKeysPerBlock;
    float* dscores = dp + r * kKeysPerBlock;
    mask_scores(scores, tile.visible[r], padded_keys);
    const F32x16 reference = set1(lse[r]), centre = set1(delta[r]);
    for (int64_t key = 0; key < padded_keys; key += kLanes) {
      const F32x16 p = exp_flushed(sub(mul(load(scores + key), scale), reference));
      store(scores + key, p);
      store(dscores + key, mul(mul(p, sub(load(dscores + key), centre)), scale));
    }
  }
}

/// body(first, load, store) over a row in groups of lanes; the last group may be partial.
template <typename To, typename From, typename Op>
ATHANOR_INLINE void map_row(To* to, const From* from, int64_t size, const Op& op) {
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) store(to + i, op(load(from + i)));
  if (i < size) store_first(to + i, op(load_first(from + i, size - i)), size - i);
}

template <typename T>
float run_finish_row(T* out, const float* outputs, const float* lane_sums, int64_t size) {
  const float sum = sum_lanes(load(lane_sums));
  const F32x16 divisor = set1(sum);
  // Adding zero turns -0 into 0: which of the two comes out may depend on how far the masked keys went.
  map_row(out, outputs, size, [&](F32x16 value) { return add(div(value, divisor), zero()); });
  return sum;
}

template <typename T>
void run_widen_row(float* out, const T* row, int64_t size) {
  map_row(out, row, size, [](F32x16 value) { return value; });
}
template <typename T>
void run_narrow_row(T* out, const float* row, int64_t size) {
  map_row(out, row, size, [](F32x16 value) { return value; });
}

template <typename T>
float run_dot_rows(const T* a, const T* b, int64_t size) {
  F32x16 sum = zero();
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) sum = fma(load(a + i), load(b + i), sum);
  if (i < size) sum = fma(load_first(a + i, size - i), load_first(b + i, size - i), sum);
  return sum_lanes(sum);
}

template <typename T>
void run_pack_rows_as_depth(float* packed, const T* rows, int64_t stride, int64_t num_rows, int64_t size) {
  for (int64_t first = 0; first < size; first += kLanes, packed += num_rows * kLanes) {
    const int64_t width = size - first;
    for (int64_t r = 0; r < num_rows; ++r) {
      const T* from = rows + r * stride + first;
      store(packed + r * kLanes, width >= kLanes ? load(from) : load_first(from, width));
    }
  }
}

ATHANOR_INLINE float widen_one(float x) {
  return x;
}
ATHANOR_INLINE float widen_one(Bf16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

#if defined(__AVX2__)
ATHANOR_INLINE __m128 load_4(const float* p) {
  return _mm_loadu_ps(p);
}
ATHANOR_INLINE __m128 load_4(const Bf16* p) {
  const __m128i bits = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return _mm_castsi128_ps(_mm_unpacklo_epi16(_mm_setzero_si128(), bits));
}

/// packed[i][r] = rows[r][i] for four rows and the first size / 4 * 4 elements; returns how many were done.
template <typename T>
ATHANOR_INLINE int64_t transpose_4_rows(float* packed, const T* rows, int64_t stride, int64_t size) {
  int64_t i = 0;
  for (; i + 4 <= size; i += 4) {
    __m128 a = load_4(rows + i), b = load_4(rows + stride + i);
    __m128 c = load_4(rows + 2 * stride + i), d = load_4(rows + 3 * stride + i);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(packed + i * kLanes, a);
    _mm_storeu_ps(packed + (i + 1) * kLanes, b);
    _mm_storeu_ps(packed + (i + 2) * kLanes, c);
    _mm_storeu_ps(packed + (i + 3) * kLanes, d);
  }
  return i;
}
#else
template <typename T>
ATHANOR_INLINE int64_t transpose_4_rows(float*, const T*, int64_t, int64_t) {
  return 0;
}
#endif

template <typename T>
void run_pack_rows_as_columns(float* packed, const T* rows, int64_t stride, int64_t num_rows, int64_t size) {
  for (int64_t first = 0; first < num_rows; first += kLanes, packed += size * kLanes) {
    const int64_t width = num_rows - first < kLanes ? num_rows - first : kLanes;
    if (width < kLanes) memset(packed, 0, static_cast<size_t>(size * kLanes) * sizeof(float));
    for (int64_t r = 0; r < width; r += 4) {
      const T* from = rows + (first + r) * stride;
      const int64_t height = width - r < 4 ? width - r : 4;
      const int64_t done = height == 4 ? transpose_4_rows(packed + r, from, stride, size) : 0;
      for (int64_t row = 0; row < height; ++row)
        for (int64_t i = done; i < size; ++i)
          packed[i * kLanes + r + row] = widen_one(from[row * stride + i]);
    }
  }
}

}  // namespace

extern const ScoreTileTable kScoreTile;
const ScoreTileTable kScoreTile{run_softmax_forward, run_softmax_backward};
extern const AttentionRowTable<float> kAttentionRowsF32;
const AttentionRowTable<float> kAttentionRowsF32{
    run_finish_row<float>, run_pack_rows_as_columns<float>, run_pack_rows_as_depth<float>,
    run_widen_row<float>,  run_narrow_row<float>,           run_dot_rows<float>};
extern const AttentionRowTable<Bf16> kAttentionRowsBf16;
const AttentionRowTable<Bf16> kAttentionRowsBf16{run_finish_row<Bf16>,         run_pack_rows_as_columns<Bf16>,
                                                 run_pack_rows_as_depth<Bf16>, run_widen_row<Bf16>,
                                                 run_narrow_row<Bf16>,         run_dot_rows<Bf16>};

}  // namespace athanor::kernels::cpu::ATHANOR_ISA
