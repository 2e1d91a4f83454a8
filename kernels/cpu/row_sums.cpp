#include "kernels/cpu/row_sums.h"

#include "kernels/cpu/processor.h"

namespace athanor::kernels::cpu {

template <>
const RowSumTable<float>& row_sum_table() {
  return table_for_processor(portable::kRowSumsF32, avx2::kRowSumsF32, avx512::kRowSumsF32);
}
template <>
const RowSumTable<Bf16>& row_sum_table() {
  return table_for_processor(portable::kRowSumsBf16, avx2::kRowSumsBf16, avx512::kRowSumsBf16);
}

}  // namespace athanor::kernels::cpu
