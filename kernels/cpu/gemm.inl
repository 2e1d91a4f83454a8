// The product, compiled once per instruction set. Three loops around one micro-kernel:
//   depth in blocks of kDepthBlock     C carries the running sums from block to block (a spill: bits
//   unchanged)
//     rows in blocks of kRowBlock      the block of A is copied (widened) once, so that it lies dense in
//     cache
//       columns by panels of B         one panel stays in the first-level cache while all row tiles pass it
#include "kernels/cpu/gemm_isa.h"
#include "kernels/cpu/simd.h"

namespace athanor::kernels::cpu::ATHANOR_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kTileRows = 14, kTilePanels = 2;
constexpr int kPanelsForOneRow = 8, kPanelsForThreeRows = 4;
#else
constexpr int kTileRows = 6, kTilePanels = 1;
constexpr int kPanelsForOneRow = 4, kPanelsForThreeRows = 2;
#endif
// Few rows have few sums; more panels side by side keep the multipliers busy while one chain waits for
// itself.
constexpr int64_t kDepthBlock = kGemmDepthBlock;
constexpr int64_t kRowBlock = 252;  // a multiple of both tile heights
static_assert(kRowBlock % kTileRows == 0);

// How the copied block of A lies: rows of kDepthBlock values, or (A given transposed) tiles of
// [depth][kTileRows].
enum class Layout { kRows, kTiles };

template <Layout L>
constexpr int64_t kRowStep = L == Layout::kRows ? kDepthBlock : 1;
template <Layout L>
constexpr int64_t kDepthStep = L == Layout::kRows ? 1 : kTileRows;

/// c[ROWS][PANELS * 16] = (FIRST ? 0 : c) + a · b over `depth` values of k.
template <int ROWS, int PANELS, Layout L, bool FIRST, typename B>
void micro_kernel(int64_t depth, const float* a, const B* b, int64_t panel_stride, float* c,
                  int64_t c_stride) {
  F32x16 sum[ROWS][PANELS];
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int p = 0; p < PANELS; ++p) sum[r][p] = FIRST ? zero() : load(c + r * c_stride + p * kLanes);
  for (int64_t k = 0; k < depth; ++k) {
    F32x16 column[PANELS];
#pragma GCC unroll 4
    for (int p = 0; p < PANELS; ++p) column[p] = load(b + p * panel_stride + k * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) {
      const F32x16 value = set1(a[r * kRowStep<L> + k * kDepthStep<L>]);
#pragma GCC unroll 4
      for (int p = 0; p < PANELS; ++p) sum[r][p] = fma(value, column[p], sum[r][p]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int p = 0; p < PANELS; ++p) store(c + r * c_stride + p * kLanes, sum[r][p]);
}

template <typename B>
struct Tile {
  int64_t depth;
  const float* a;
  const B* b;
  int64_t panel_stride;
  float* c;
  int64_t c_stride;
  bool first;
};

template <int ROWS, int PANELS, Layout L, typename B>
void run_micro_kernel(const Tile<B>& t) {
  if (t.first)
    micro_kernel<ROWS, PANELS, L, true>(t.depth, t.a, t.b, t.panel_stride, t.c, t.c_stride);
  else
    micro_kernel<ROWS, PANELS, L, false>(t.depth, t.a, t.b, t.panel_stride, t.c, t.c_stride);
}

/// The tallest tile that is this many panels wide.
template <int PANELS>
constexpr int kMaxRows = PANELS == kPanelsForOneRow      ? 1
                         : PANELS == kPanelsForThreeRows ? 3
                                                         : kTileRows;

/// Turns the run-time height of a tile into the compile-time one.
template <int ROWS, int PANELS, Layout L, typename B>
void run_rows(int64_t num_rows, const Tile<B>& tile) {
  if constexpr (ROWS > 1) {
    if (num_rows < ROWS) return run_rows<ROWS - 1, PANELS, L>(num_rows, tile);
  }
  run_micro_kernel<ROWS, PANELS, L>(tile);
}

/// A tile whose last columns do not exist in C works on a copy.
template <int PANELS, Layout L, typename B>
void run_tile(int64_t num_rows, int64_t num_columns, const Tile<B>& tile) {
  constexpr int64_t kWidth = PANELS * kLanes;
  constexpr int kHeight = kMaxRows<PANELS>;
  if (num_columns >= kWidth) return run_rows<kHeight, PANELS, L>(num_rows, tile);
  alignas(64) float copy[kHeight * kWidth];
  const size_t row_bytes = static_cast<size_t>(num_columns) * sizeof(float);
  Tile<B> inner = tile;
  inner.c = copy;
  inner.c_stride = kWidth;
  for (int64_t r = 0; r < num_rows && !tile.first; ++r) {
    memset(copy + r * kWidth, 0, sizeof(float) * kWidth);
    memcpy(copy + r * kWidth, tile.c + r * tile.c_stride, row_bytes);
  }
  run_rows<kHeight, PANELS, L>(num_rows, inner);
  for (int64_t r = 0; r < num_rows; ++r) memcpy(tile.c + r * tile.c_stride, copy + r * kWidth, row_bytes);
}

template <typename T>
void widen(float* to, const T* from, int64_t count) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(to + i, load(from + i));
  if (i < count) store_first(to + i, load_first(from + i, count - i), count - i);
}

template <typename A>
void copy_block_rows(float* block, const A* a, int64_t stride, int64_t num_rows, int64_t depth) {
  for (int64_t r = 0; r < num_rows; ++r) widen(block + r * kDepthBlock, a + r * stride, depth);
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

/// From [depth][rows] in memory to tiles of [depth][kTileRows].
template <typename A>
void copy_block_tiles(float* block, const A* a, int64_t stride, int64_t num_rows, int64_t depth) {
  for (int64_t first = 0; first < num_rows; first += kTileRows) {
    const int64_t height = num_rows - first < kTileRows ? num_rows - first : kTileRows;
    float* tile = block + first * kDepthBlock;
    for (int64_t k = 0; k < depth; ++k)
      for (int64_t r = 0; r < height; ++r) tile[k * kTileRows + r] = widen_one(a[k * stride + first + r]);
  }
}

/// All row tiles of one block of A against one group of panels.
template <int PANELS, Layout L, typename B>
void run_row_tiles(int64_t num_rows, int64_t num_columns, const Tile<B>& top) {
  Tile<B> tile = top;
  for (int64_t r = 0; r < num_rows; r += kTileRows) {
    tile.a = top.a + r * kDepthBlock;
    tile.c = top.c + r * top.c_stride;
    const int64_t height = num_rows - r < kTileRows ? num_rows - r : kTileRows;
    run_tile<PANELS, L>(height, num_columns, tile);
  }
}

/// One group of panels. bf16 panels that several row tiles pass are widened first.
template <int PANELS, Layout L>
void run_panels(int64_t num_rows, int64_t num_columns, const Tile<float>& top) {
  run_row_tiles<PANELS, L>(num_rows, num_columns, top);
}
template <int PANELS, Layout L>
void run_panels(int64_t num_rows, int64_t num_columns, const Tile<Bf16>& top) {
  if (PANELS > kTilePanels || num_rows <= kTileRows)
    return run_row_tiles<PANELS, L>(num_rows, num_columns, top);
  alignas(64) float wide[PANELS * kDepthBlock * kLanes];
  for (int p = 0; p < PANELS; ++p)
    widen(wide + p * kDepthBlock * kLanes, top.b + p * top.panel_stride, top.depth * kLanes);
  const Tile<float> tile{top.depth, top.a, wide, kDepthBlock * kLanes, top.c, top.c_stride, top.first};
  run_row_tiles<PANELS, L>(num_rows, num_columns, tile);
}

/// Groups of PANELS panels from `panel` on, as many as are whole; returns the first panel not done.
template <int PANELS, Layout L, typename B>
int64_t run_panel_groups(int64_t panel, int64_t num_rows, int64_t num_columns, const Tile<B>& top) {
  Tile<B> tile = top;
  for (; (panel + PANELS - 1) * kLanes < num_columns; panel += PANELS) {
    tile.b = top.b + panel * top.panel_stride;
    tile.c = top.c + panel * kLanes;
    run_panels<PANELS, L>(num_rows, num_columns - panel * kLanes, tile);
  }
  return panel;
}

template <Layout L, typename B>
void run_block(int64_t num_rows, int64_t num_columns, const Tile<B>& top) {
  int64_t panel = 0;
  if (num_rows == 1) panel = run_panel_groups<kPanelsForOneRow, L>(panel, num_rows, num_columns, top);
  if (num_rows <= 3) panel = run_panel_groups<kPanelsForThreeRows, L>(panel, num_rows, num_columns, top);
  if constexpr (kTilePanels > 1) panel = run_panel_groups<kTilePanels, L>(panel, num_rows, num_columns, top);
  run_panel_groups<1, L>(panel, num_rows, num_columns, top);
}

void clear(float* c, int64_t c_stride, int64_t num_rows, int64_t num_columns) {
  for (int64_t r = 0; r < num_rows; ++r)
    memset(c + r * c_stride, 0, static_cast<size_t>(num_columns) * sizeof(float));
}

template <typename A, typename B>
void run_gemm(const GemmArgs<A, B>& args) {
  if (args.depth == 0 && !args.accumulate)
    return clear(args.c, args.c_stride, args.num_rows, args.num_columns);
  alignas(64) float block[kRowBlock * kDepthBlock];
  const int64_t panel_stride = (args.panel_depth ? args.panel_depth : args.depth) * kLanes;
  for (int64_t k = 0; k < args.depth; k += kDepthBlock) {
    const int64_t depth = args.depth - k < kDepthBlock ? args.depth - k : kDepthBlock;
    for (int64_t m = 0; m < args.num_rows; m += kRowBlock) {
      const int64_t rows = args.num_rows - m < kRowBlock ? args.num_rows - m : kRowBlock;
      const Tile<B> top{depth,
                        block,
                        args.packed_b + k * kLanes,
                        panel_stride,
                        args.c + m * args.c_stride,
                        args.c_stride,
                        k == 0 && !args.accumulate};
      if (args.a_is_transposed) {
        copy_block_tiles(block, args.a + k * args.a_stride + m, args.a_stride, rows, depth);
        run_block<Layout::kTiles>(rows, args.num_columns, top);
      } else {
        copy_block_rows(block, args.a + m * args.a_stride + k, args.a_stride, rows, depth);
        run_block<Layout::kRows>(rows, args.num_columns, top);
      }
    }
  }
}

// ---- packing
// -------------------------------------------------------------------------------------------------

#if defined(__AVX2__)
/// to[k][n] = from[n][k], 8 x 8.
ATHANOR_INLINE void transpose_8x8(float* to, const float* from, int64_t stride) {
  __m256 a[8], b[8];
  for (int i = 0; i < 8; ++i) a[i] = _mm256_loadu_ps(from + i * stride);
  for (int i = 0; i < 8; i += 2) {
    b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; ++j) {
      a[i + 2 * j] = _mm256_shuffle_ps(b[i + j], b[i + j + 2], 0x44);
      a[i + 2 * j + 1] = _mm256_shuffle_ps(b[i + j], b[i + j + 2], 0xee);
    }
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(to + i * kPanelColumns, _mm256_permute2f128_ps(a[i], a[i + 4], 0x20));
    _mm256_storeu_ps(to + (i + 4) * kPanelColumns, _mm256_permute2f128_ps(a[i], a[i + 4], 0x31));
  }
}
ATHANOR_INLINE void transpose_8x8(Bf16* to, const Bf16* from, int64_t stride) {
  __m128i a[8], b[8];
  for (int i = 0; i < 8; ++i) a[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i * stride));
  for (int i = 0; i < 4; ++i) {
    b[2 * i] = _mm_unpacklo_epi16(a[2 * i], a[2 * i + 1]);
    b[2 * i + 1] = _mm_unpackhi_epi16(a[2 * i], a[2 * i + 1]);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; ++j) {
      a[i + 2 * j] = _mm_unpacklo_epi32(b[i + j], b[i + j + 2]);
      a[i + 2 * j + 1] = _mm_unpackhi_epi32(b[i + j], b[i + j + 2]);
    }
  for (int i = 0; i < 4; ++i) {
    auto* place = reinterpret_cast<__m128i*>(to + 2 * i * kPanelColumns);
    auto* next = reinterpret_cast<__m128i*>(to + (2 * i + 1) * kPanelColumns);
    _mm_storeu_si128(place, _mm_unpacklo_epi64(a[i], a[i + 4]));
    _mm_storeu_si128(next, _mm_unpackhi_epi64(a[i], a[i + 4]));
  }
}
#else
template <typename T>
ATHANOR_INLINE void transpose_8x8(T* to, const T* from, int64_t stride) {
  for (int k = 0; k < 8; ++k)
    for (int n = 0; n < 8; ++n) to[k * kPanelColumns + n] = from[n * stride + k];
}
#endif

/// Any depth and width of one panel, element by element; columns from `width` on are zero.
template <typename T>
void pack_panel_slowly(T* panel, const T* b, int64_t column_stride, int64_t depth_stride, int64_t width,
                       int64_t depth) {
  for (int64_t k = 0; k < depth; ++k)
    for (int64_t n = 0; n < kPanelColumns; ++n)
      panel[k * kPanelColumns + n] = n < width ? b[n * column_stride + k * depth_stride] : T{};
}

template <typename T>
void pack_nk(T* packed, const T* b, int64_t stride, int64_t num_columns, int64_t depth) {
  for (int64_t first = 0; first < num_columns; first += kPanelColumns, packed += kPanelColumns * depth) {
    const T* from = b + first * stride;
    const int64_t width = num_columns - first;
    const int64_t fast_depth = width >= kPanelColumns ? depth / 8 * 8 : 0;
    for (int64_t k = 0; k < fast_depth; k += 8) {
      transpose_8x8(packed + k * kPanelColumns, from + k, stride);
      transpose_8x8(packed + k * kPanelColumns + 8, from + 8 * stride + k, stride);
    }
    pack_panel_slowly(packed + fast_depth * kPanelColumns, from + fast_depth, stride, 1, width,
                      depth - fast_depth);
  }
}

template <typename T>
void pack_kn(T* packed, const T* b, int64_t stride, int64_t num_columns, int64_t depth) {
  for (int64_t first = 0; first < num_columns; first += kPanelColumns, packed += kPanelColumns * depth) {
    const T* from = b + first;
    if (num_columns - first < kPanelColumns) {
      pack_panel_slowly(packed, from, 1, stride, num_columns - first, depth);
      continue;
    }
    for (int64_t k = 0; k < depth; ++k)
      memcpy(packed + k * kPanelColumns, from + k * stride, kPanelColumns * sizeof(T));
  }
}

}  // namespace

const GemmTable kGemmTable{run_gemm<float, float>, run_gemm<float, Bf16>, run_gemm<Bf16, float>,
                           run_gemm<Bf16, Bf16>,   pack_nk<float>,        pack_nk<Bf16>,
                           pack_kn<float>,         pack_kn<Bf16>};

}  // namespace athanor::kernels::cpu::ATHANOR_ISA
