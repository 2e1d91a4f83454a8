#include "kernels/cpu/fp8_rows.h"

#include "kernels/cpu/processor.h"

namespace athanor::kernels::cpu {

template <>
const Fp8Table<float>& fp8_table() {
  return table_for_processor(portable::kFp8TableF32, avx2::kFp8TableF32, avx512::kFp8TableF32);
}
template <>
const Fp8Table<Bf16>& fp8_table() {
  return table_for_processor(portable::kFp8TableBf16, avx2::kFp8TableBf16, avx512::kFp8TableBf16);
}

AddScaled add_scaled() {
  return table_for_processor(portable::kAddScaled, avx2::kAddScaled, avx512::kAddScaled);
}

}  // namespace athanor::kernels::cpu
