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
#else
constexpr int kTileRows = 6, kTilePanels = 1;
#endif
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
  if (num_columns >= kWidth) return run_rows<kTileRows, PANELS, L>(num_rows, tile);
  alignas(64) float copy[kTileRows * kWidth];
  const size_t row_bytes = static_cast<size_t>(num_columns) * sizeof(float);
  Tile<B> inner = tile;
  inner.c = copy;
  inner.c_stride = kWidth;
  for (int64_t r = 0; r < num_rows && !tile.first; ++r) {
    memset(copy + r * kWidth, 0, sizeof(float) * kWidth);
    memcpy(copy + r * kWidth, tile.c + r * tile.c_stride, row_bytes);
  }
  run_rows<kTileRows, PANELS, L>(num_rows, inner);
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
  if (num_rows <= kTileRows) return run_row_tiles<PANELS, L>(num_rows, num_columns, top);
  alignas(64) float wide[PANELS * kDepthBlock * kLanes];
  for (int p = 0; p < PANELS; ++p)
    widen(wide + p * kDepthBlock * kLanes, top.b + p * top.panel_stride, top.depth * kLanes);
  const Tile<float> tile{top.depth, top.a, wide, kDepthBlock * kLanes, top.c, top.c_stride, top.first};
  run_row_tiles<PANELS, L>(num_rows, num_columns, tile);
}

template <Layout L, typename B>
void run_block(int64_t num_rows, int64_t num_columns, const Tile<B>& top) {
  Tile<B> tile = top;
  const int64_t num_panels = (num_columns + kLanes - 1) / kLanes;
  int64_t panel = 0;
  for (; panel + kTilePanels <= num_panels; panel += kTilePanels) {
    tile.b = top.b + panel * top.panel_stride;
    tile.c = top.c + panel * kLanes;
    run_panels<kTilePanels, L>(num_rows, num_columns - panel * kLanes, tile);
  }
  for (; panel < num_panels; ++panel) {
    tile.b = top.b + panel * top.panel_stride;
    tile.c = top.c + panel * kLanes;
    run_panels<1, L>(num_rows, num_columns - panel * kLanes, tile);
  }
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

}  // namespace

extern const GemmTable kGemmTable;
const GemmTable kGemmTable{run_gemm<float, float>, run_gemm<float, Bf16>, run_gemm<Bf16, float>,
                           run_gemm<Bf16, Bf16>};

}  // namespace athanor::kernels::cpu::ATHANOR_ISA
