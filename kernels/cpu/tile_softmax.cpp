#include "kernels/cpu/tile_softmax.h"

#include "kernels/cpu/processor.h"

namespace athanor::kernels::cpu {

const TileSoftmaxTable& tile_softmax_table() {
  return table_for_processor(portable::kTileSoftmax, avx2::kTileSoftmax, avx512::kTileSoftmax);
}

}  // namespace athanor::kernels::cpu
