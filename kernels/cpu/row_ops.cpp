#include "kernels/cpu/row_ops.h"

#include "kernels/cpu/processor.h"

namespace athanor::kernels::cpu {

template <>
const RowTable<float>& row_table() {
  return table_for_processor(portable::kRowTableF32, avx2::kRowTableF32, avx512::kRowTableF32);
}
template <>
const RowTable<Bf16>& row_table() {
  return table_for_processor(portable::kRowTableBf16, avx2::kRowTableBf16, avx512::kRowTableBf16);
}

}  // namespace athanor::kernels::cpu
