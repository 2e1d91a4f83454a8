// The copies that bring bf16 operands into the order of the tile products (tile_products.h). Exact,
// single-threaded, with the best instruction set of this processor.
#pragma once

#include <cstdint>

#include "kernels/cpu/bf16.h"

namespace athanor::kernels::cpu {

constexpr int64_t kTileColumns = 64, kSplitDepth = 32;

struct TilePackingTable {
  /// One block of B, packed[ceil(depth / 2)][kTileColumns][2], from rows[k * stride + n]. Columns from
  /// `width`
  /// (<= kTileColumns) on and an odd last k are zero.
  void (*pack_rows)(Bf16* packed, const Bf16* rows, int64_t stride, int64_t width, int64_t depth);
  /// The same, but inside every kSplitDepth rows, row k lies beside row k + kSplitDepth / 2; rows from
  /// `depth` up to padded_depth, a multiple of kSplitDepth, are zeros.
  void (*pack_split_rows)(Bf16* packed, const Bf16* rows, int64_t stride, int64_t width, int64_t depth,
                          int64_t padded_depth);
  /// As pack_rows from columns[n * stride + k].
  void (*pack_columns)(Bf16* packed, const Bf16* columns, int64_t stride, int64_t width, int64_t depth);
  /// to[r * to_stride + k] = from[k * from_stride + r] for r < num_rows, k < depth.
  void (*transpose)(Bf16* to, int64_t to_stride, const Bf16* from, int64_t from_stride, int64_t num_rows,
                    int64_t depth);
};

/// The table of this processor.
const TilePackingTable& tile_packing_table();

namespace avx512 {
extern const TilePackingTable kTilePacking;
}
namespace avx2 {
extern const TilePackingTable kTilePacking;
}
namespace portable {
extern const TilePackingTable kTilePacking;
}

}  // namespace athanor::kernels::cpu
