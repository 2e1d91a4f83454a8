#include "kernels/cpu/attention_tile.h"

#include "kernels/cpu/processor.h"

namespace athanor::kernels::cpu {

const ScoreTileTable& score_tile_table() {
  return table_for_processor(portable::kScoreTile, avx2::kScoreTile, avx512::kScoreTile);
}
template <>
const AttentionRowTable<float>& attention_row_table() {
  return table_for_processor(portable::kAttentionRowsF32, avx2::kAttentionRowsF32, avx512::kAttentionRowsF32);
}
template <>
const AttentionRowTable<Bf16>& attention_row_table() {
  return table_for_processor(portable::kAttentionRowsBf16, avx2::kAttentionRowsBf16,
                             avx512::kAttentionRowsBf16);
}

}  // namespace athanor::kernels::cpu
