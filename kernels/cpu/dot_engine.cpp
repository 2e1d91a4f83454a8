// Compiled for AVX-512 with BF16; nothing here runs before `dot_engine` has asked for both.
#include "kernels/cpu/dot_engine.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <immintrin.h>

#include "kernels/cpu/simd.h"
#include "kernels/cpu/tile_packing.h"

namespace athanor::kernels::cpu {
namespace {

using avx512::F32x16;
using avx512::kLanes;

constexpr int kVectors = kTileColumns / kLanes;          // of one row of the block
constexpr int64_t kPairRow = int64_t{2} * kTileColumns;  // elements of B for two values of k
constexpr int kMaxRows = 6;  // 24 accumulators, 4 vectors of B and one of A: what 32 registers hold

// Where sums begin and end: in fp32 memory, which they may be added to.
struct SumsInMemory {
  float* c;
  int64_t stride;
  bool accumulate;

  F32x16 start(int row, int v) const {
    return accumulate ? avx512::load(c + row * stride + v * kLanes) : avx512::set1(0);
  }
  void finish(int row, int v, F32x16 sum) const { avx512::store(c + row * stride + v * kLanes, sum); }
  SumsInMemory below(int64_t rows) const { return {c + rows * stride, stride, accumulate}; }
  // The sums that come next are on their way while these are computed: a weight gradient is larger than the
  // caches.
  void prefetch(int64_t rows) const {
    for (int64_t row = 0; row < rows; ++row)
      for (int v = 0; v < kVectors; ++v) __builtin_prefetch(c + row * stride + v * kLanes, 1);
  }
};

// Or in bf16 memory, rounded once all is added, the bias last.
struct RoundedSums {
  Bf16* out;
  int64_t stride;
  const float* bias;

  F32x16 start(int, int) const { return avx512::set1(0); }
  void finish(int row, int v, F32x16 sum) const {
    avx512::store(out + row * stride + v * kLanes,
                  bias ? avx512::add(sum, avx512::load(bias + v * kLanes)) : sum);
  }
  RoundedSums below(int64_t rows) const { return {out + rows * stride, stride, bias}; }
  void prefetch(int64_t) const {}
};

__m512bh pair_of(const Bf16* a) {
  int32_t pair;
  std::memcpy(&pair, a, sizeof(pair));
  return reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
}

// The sum over k of one element does not depend on how many rows are computed together.
template <int kRows, typename Sums>
void multiply_rows(int64_t k, const Bf16* a, int64_t a_stride, const Bf16* b, const Sums& c) {
  __m512 sums[kRows][kVectors];
#pragma GCC unroll 8
  for (int row = 0; row < kRows; ++row)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sums[row][v] = c.start(row, v).v;
  for (int64_t i = 0; i < k; i += 2, b += kPairRow) {
    __m512bh right[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      right[v] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b + v * 2 * kLanes));
#pragma GCC unroll 8
    for (int row = 0; row < kRows; ++row) {
      const __m512bh left = pair_of(a + row * a_stride + i);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[row][v] = _mm512_dpbf16_ps(sums[row][v], left, right[v]);
    }
  }
#pragma GCC unroll 8
  for (int row = 0; row < kRows; ++row)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) c.finish(row, v, {sums[row][v]});
}

template <typename Sums>
using MultiplyRows = void (*)(int64_t, const Bf16*, int64_t, const Bf16*, const Sums&);
template <typename Sums>
constexpr std::array<MultiplyRows<Sums>, kMaxRows + 1> kMultiplyRows = {nullptr,
                                                                        multiply_rows<1, Sums>,
                                                                        multiply_rows<2, Sums>,
                                                                        multiply_rows<3, Sums>,
                                                                        multiply_rows<4, Sums>,
                                                                        multiply_rows<5, Sums>,
                                                                        multiply_rows<6, Sums>};

template <typename Sums>
void multiply_block(int64_t m, int64_t k, const Bf16* a, int64_t a_stride, const Bf16* b, Sums c) {
  while (m > 0) {
    // Four rows twice rather than six and two, which waits for its few sums.
    const int64_t rows = m == 8 ? 4 : std::min<int64_t>(m, kMaxRows);
    c.below(rows).prefetch(std::min<int64_t>(m - rows, kMaxRows));
    kMultiplyRows<Sums>[static_cast<size_t>(rows)](k, a, a_stride, b, c);
    a += rows * a_stride;
    c = c.below(rows);
    m -= rows;
  }
}

void multiply(int64_t m, int64_t k, const Bf16* a, int64_t a_stride, const Bf16* b, float* c,
              int64_t c_stride, bool accumulate) {
  multiply_block(m, k, a, a_stride, b, SumsInMemory{c, c_stride, accumulate});
}

void multiply_rounded(int64_t m, int64_t k, const Bf16* a, int64_t a_stride, const Bf16* b, const float* bias,
                      Bf16* out, int64_t out_stride) {
  multiply_block(m, k, a, a_stride, b, RoundedSums{out, out_stride, bias});
}

constexpr TileEngine kDotEngine{.multiply = multiply,
                                .release = [] {},
                                .name = "avx512-bf16",
                                .multiply_rounded = multiply_rounded,
                                .row_multiple = 1};

}  // namespace

const TileEngine* dot_engine() {
  const bool is_here = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16");
  return is_here ? &kDotEngine : nullptr;
}

}  // namespace athanor::kernels::cpu
