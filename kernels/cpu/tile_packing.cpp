#include "kernels/cpu/tile_packing.h"

#include "kernels/cpu/processor.h"

namespace athanor::kernels::cpu {

const TilePackingTable& tile_packing_table() {
  return table_for_processor(portable::kTilePacking, avx2::kTilePacking, avx512::kTilePacking);
}

}  // namespace athanor::kernels::cpu
