#include "kernels/cpu/flat_ops.h"

#include "kernels/cpu/processor.h"

namespace athanor::kernels::cpu {

const FlatTable& flat_table() {
  return table_for_processor(portable::kFlatTable, avx2::kFlatTable, avx512::kFlatTable);
}

}  // namespace athanor::kernels::cpu
