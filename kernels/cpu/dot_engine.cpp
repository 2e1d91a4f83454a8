// Compiled for AVX-512 with BF16; nothing here runs before `dot_engine` has asked for both.
#include "kernels/cpu/dot_engine.h"

#include <array>
#include <cstring>
#include <immintrin.h>

#include "kernels/cpu/tile_packing.h"

namespace athanor::kernels::cpu {
namespace {

constexpr int kLanes = 16;                               // fp32 results of one vector
constexpr int kVectors = kTileColumns / kLanes;          // of one row of the block
constexpr int64_t kPairRow = int64_t{2} * kTileColumns;  // elements of B for two values of k
constexpr int kMaxRows = 6;  // 24 accumulators, 4 vectors of B and one of A: what 32 registers hold

__m512i pair_of(const Bf16* a) {
  int32_t pair;
  std::memcpy(&pair, a, sizeof(pair));
  return _mm512_set1_epi32(pair);
}

// The sum over k of one element does not depend on how many rows are computed together.
template <int kRows>
void multiply_rows(int64_t k, const Bf16* a, int64_t a_stride, const Bf16* b, float* c, int64_t c_stride,
                   bool accumulate) {
  __m512 sums[kRows][kVectors];
#pragma GCC unroll 8
  for (int row = 0; row < kRows; ++row)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      sums[row][v] = accumulate ? _mm512_loadu_ps(c + row * c_stride + v * kLanes) : _mm512_setzero_ps();
  for (int64_t i = 0; i < k; i += 2, b += kPairRow) {
    __m512bh right[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      right[v] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b + v * 2 * kLanes));
#pragma GCC unroll 8
    for (int row = 0; row < kRows; ++row) {
      const auto left = reinterpret_cast<__m512bh>(pair_of(a + row * a_stride + i));
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[row][v] = _mm512_dpbf16_ps(sums[row][v], left, right[v]);
    }
  }
#pragma GCC unroll 8
  for (int row = 0; row < kRows; ++row)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) _mm512_storeu_ps(c + row * c_stride + v * kLanes, sums[row][v]);
}

using MultiplyRows = void (*)(int64_t, const Bf16*, int64_t, const Bf16*, float*, int64_t, bool);
constexpr std::array<MultiplyRows, kMaxRows + 1> kMultiplyRows = {
    nullptr,          multiply_rows<1>, multiply_rows<2>, multiply_rows<3>,
    multiply_rows<4>, multiply_rows<5>, multiply_rows<6>};

void multiply(int64_t m, int64_t k, const Bf16* a, int64_t a_stride, const Bf16* b, float* c,
              int64_t c_stride, bool accumulate) {
  while (m > 0) {
    // Four rows twice rather than six and two, which waits for its few sums.
    const int64_t rows = m == 8 ? 4 : m < kMaxRows ? m : kMaxRows;
    kMultiplyRows[static_cast<size_t>(rows)](k, a, a_stride, b, c, c_stride, accumulate);
    a += rows * a_stride;
    c += rows * c_stride;
    m -= rows;
  }
}

constexpr TileEngine kDotEngine{multiply, [] {}, "avx512-bf16"};

}  // namespace

const TileEngine* dot_engine() {
  const bool is_here = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16");
  return is_here ? &kDotEngine : nullptr;
}

}  // namespace athanor::kernels::cpu
