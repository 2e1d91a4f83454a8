// Interleaving and transposing, compiled once per instruction set. AVX-512 without its extensions for 16-bit
// values has nothing to add, so it takes the code of AVX2. Whatever does not fill a register block passes
// through a small zeroed copy.
#include "kernels/cpu/simd.h"
#include "kernels/cpu/tile_packing.h"

namespace athanor::kernels::cpu::ATHANOR_ISA {
namespace {

constexpr int64_t kGroup = 16;                 // columns that are interleaved at once
constexpr int64_t kColumns = 8;                // columns (or rows of the result) of a transposed block
constexpr int64_t kDepth = 16;                 // and its depth
constexpr int64_t kStride = 2 * kTileColumns;  // of the packed layout, for two k

// Two neighbours in depth fill a cache line of the side that is read or written along depth.
constexpr int64_t kLineDepth = 2 * kDepth;

int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

size_t bytes(int64_t count) {
  return static_cast<size_t>(count) * sizeof(Bf16);
}

#if defined(__AVX2__)

/// to[n] = {even[n], odd[n]} for kGroup columns.
ATHANOR_INLINE void interleave(Bf16* to, const Bf16* even, const Bf16* odd) {
#pragma GCC unroll 8
  for (int half = 0; half < 2; ++half) {
    const auto widened = [&](const Bf16* row) {
      return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row + 8 * half)));
    };
    const __m256i pairs = _mm256_or_si256(widened(even), _mm256_slli_epi32(widened(odd), 16));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 16 * half), pairs);
  }
}

/// to[k][n] = from[n][k] for pairs of values: 8 columns, kDepth / 2 pairs.
ATHANOR_INLINE void transpose_pairs(Bf16* to, int64_t to_stride, const Bf16* from, int64_t stride) {
  __m256i a[8], b[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) a[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i * stride));
#pragma GCC unroll 8
  for (int i = 0; i < 8; i += 2) {
    b[i] = _mm256_unpacklo_epi32(a[i], a[i + 1]);
    b[i + 1] = _mm256_unpackhi_epi32(a[i], a[i + 1]);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; i += 4)
#pragma GCC unroll 8
    for (int j = 0; j < 2; ++j) {
      a[i + 2 * j] = _mm256_unpacklo_epi64(b[i + j], b[i + j + 2]);
      a[i + 2 * j + 1] = _mm256_unpackhi_epi64(b[i + j], b[i + j + 2]);
    }
#pragma GCC unroll 8
  for (int i = 0; i < 4; ++i) {
    auto* place = reinterpret_cast<__m256i*>(to + i * to_stride);
    auto* lower = reinterpret_cast<__m256i*>(to + (i + 4) * to_stride);
    _mm256_storeu_si256(place, _mm256_permute2x128_si256(a[i], a[i + 4], 0x20));
    _mm256_storeu_si256(lower, _mm256_permute2x128_si256(a[i], a[i + 4], 0x31));
  }
}

/// to[r][k] = from[k][r] for kColumns rows of the result and kDepth values of each: k and k + 8 share a
/// register, so that each half is an 8 x 8 transpose.
ATHANOR_INLINE void transpose_block(Bf16* to, int64_t to_stride, const Bf16* from, int64_t stride) {
  __m256i a[8], b[8];
  const auto eight = [&](int k) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + k * stride));
  };
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i)
    a[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(eight(i)), eight(i + 8), 1);
#pragma GCC unroll 8
  for (int i = 0; i < 4; ++i) {
    b[2 * i] = _mm256_unpacklo_epi16(a[2 * i], a[2 * i + 1]);
    b[2 * i + 1] = _mm256_unpackhi_epi16(a[2 * i], a[2 * i + 1]);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; i += 4)
#pragma GCC unroll 8
    for (int j = 0; j < 2; ++j) {
      a[i + 2 * j] = _mm256_unpacklo_epi32(b[i + j], b[i + j + 2]);
      a[i + 2 * j + 1] = _mm256_unpackhi_epi32(b[i + j], b[i + j + 2]);
    }
#pragma GCC unroll 8
  for (int i = 0; i < 4; ++i) {
    auto* even = reinterpret_cast<__m256i*>(to + 2 * i * to_stride);
    auto* odd = reinterpret_cast<__m256i*>(to + (2 * i + 1) * to_stride);
    _mm256_storeu_si256(even, _mm256_unpacklo_epi64(a[i], a[i + 4]));
    _mm256_storeu_si256(odd, _mm256_unpackhi_epi64(a[i], a[i + 4]));
  }
}

#else

ATHANOR_INLINE void interleave(Bf16* to, const Bf16* even, const Bf16* odd) {
  for (int64_t n = 0; n < kGroup; ++n) {
    to[2 * n] = even[n];
    to[2 * n + 1] = odd[n];
  }
}

ATHANOR_INLINE void transpose_pairs(Bf16* to, int64_t to_stride, const Bf16* from, int64_t stride) {
  for (int64_t n = 0; n < kColumns; ++n)
    for (int64_t k = 0; k < kDepth; ++k) to[k / 2 * to_stride + 2 * n + k % 2] = from[n * stride + k];
}

ATHANOR_INLINE void transpose_block(Bf16* to, int64_t to_stride, const Bf16* from, int64_t stride) {
  for (int64_t k = 0; k < kDepth; ++k)
    for (int64_t r = 0; r < kColumns; ++r) to[r * to_stride + k] = from[k * stride + r];
}

#endif

/// As interleave, for the first `count` of kGroup columns; the others become zeros.
void interleave_some(Bf16* to, const Bf16* even, const Bf16* odd, int64_t count) {
  Bf16 copies[2][kGroup] = {};
  if (count > 0) {
    memcpy(copies[0], even, bytes(count));
    memcpy(copies[1], odd, bytes(count));
  }
  interleave(to, copies[0], copies[1]);
}

/// One pair of rows.
ATHANOR_INLINE void pack_pair(Bf16* packed, const Bf16* even, const Bf16* odd, int64_t width) {
  int64_t n = 0;
  for (; n + kGroup <= width; n += kGroup) interleave(packed + 2 * n, even + n, odd + n);
  for (; n < kTileColumns; n += kGroup) interleave_some(packed + 2 * n, even + n, odd + n, width - n);
}

void pack_rows(Bf16* packed, const Bf16* rows, int64_t stride, int64_t width, int64_t depth) {
  const Bf16 zeros[kTileColumns] = {};
  for (int64_t k = 0; k < depth; k += 2, packed += kStride) {
    const Bf16* even = rows + k * stride;
    pack_pair(packed, even, k + 1 < depth ? even + stride : zeros, width);
  }
}

void pack_split_rows(Bf16* packed, const Bf16* rows, int64_t stride, int64_t width, int64_t depth,
                     int64_t padded_depth) {
  const Bf16 zeros[kTileColumns] = {};
  const int64_t distance = kSplitDepth / 2 * stride;
  for (int64_t group = 0; group < padded_depth; group += kSplitDepth)
    for (int64_t k = group; k < group + kSplitDepth / 2; ++k, packed += kStride) {
      const Bf16* even = k < depth ? rows + k * stride : zeros;
      const Bf16* odd = k + kSplitDepth / 2 < depth ? rows + k * stride + distance : zeros;
      pack_pair(packed, even, odd, width);
    }
}

/// Up to kColumns columns and kDepth values of each, with zeros beyond them.
void pack_ragged_columns(Bf16* packed, const Bf16* columns, int64_t stride, int64_t width, int64_t depth) {
  Bf16 copy[kColumns * kDepth] = {}, block[kColumns * kDepth];
  for (int64_t n = 0; n < width; ++n) memcpy(copy + n * kDepth, columns + n * stride, bytes(depth));
  transpose_pairs(block, 2 * kColumns, copy, kDepth);
  for (int64_t k = 0; k < depth; k += 2)
    memcpy(packed + k / 2 * kStride, block + k * kColumns, bytes(2 * kColumns));
}

void pack_columns(Bf16* packed, const Bf16* columns, int64_t stride, int64_t width, int64_t depth) {
  for (int64_t line = 0; line < depth; line += kLineDepth)
    for (int64_t n = 0; n < kTileColumns; n += kColumns)
      for (int64_t k = line; k < smaller(line + kLineDepth, depth); k += kDepth) {
        Bf16* to = packed + k / 2 * kStride + 2 * n;
        if (n + kColumns <= width && k + kDepth <= depth)
          transpose_pairs(to, kStride, columns + n * stride + k, stride);
        else
          pack_ragged_columns(to, columns + n * stride + k, stride, smaller(kColumns, width - n),
                              smaller(kDepth, depth - k));
      }
}

void transpose_ragged(Bf16* to, int64_t to_stride, const Bf16* from, int64_t from_stride, int64_t num_rows,
                      int64_t depth) {
  Bf16 copy[kDepth * kColumns] = {}, block[kDepth * kColumns];
  for (int64_t k = 0; k < depth; ++k) memcpy(copy + k * kColumns, from + k * from_stride, bytes(num_rows));
  transpose_block(block, kDepth, copy, kColumns);
  for (int64_t r = 0; r < num_rows; ++r) memcpy(to + r * to_stride, block + r * kDepth, bytes(depth));
}

void transpose(Bf16* to, int64_t to_stride, const Bf16* from, int64_t from_stride, int64_t num_rows,
               int64_t depth) {
  for (int64_t line = 0; line < depth; line += kLineDepth)
    for (int64_t r = 0; r < num_rows; r += kColumns)
      for (int64_t k = line; k < smaller(line + kLineDepth, depth); k += kDepth) {
        Bf16* place = to + r * to_stride + k;
        const Bf16* source = from + k * from_stride + r;
        if (r + kColumns <= num_rows && k + kDepth <= depth)
          transpose_block(place, to_stride, source, from_stride);
        else
          transpose_ragged(place, to_stride, source, from_stride, smaller(kColumns, num_rows - r),
                           smaller(kDepth, depth - k));
      }
}

}  // namespace

const TilePackingTable kTilePacking{pack_rows, pack_split_rows, pack_columns, transpose};

}  // namespace athanor::kernels::cpu::ATHANOR_ISA
