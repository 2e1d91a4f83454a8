#include "kernels/cpu/row_sums.h"

#include "kernels/cpu/processor.h"
#include "kernels/cpu/row_sums_isa.h"

namespace athanor::kernels::cpu {
namespace {

const RowSumsTables& tables() {
  switch (processor_isa()) {
    case Isa::kAvx512:
      return avx512::kRowSumsTables;
    case Isa::kAvx2:
      return avx2::kRowSumsTables;
    case Isa::kPortable:
      break;
  }
  return portable::kRowSumsTables;
}

template <typename T>
const RowSumsTable<T>& table();
template <>
const RowSumsTable<float>& table() {
  return tables().f32;
}
template <>
const RowSumsTable<Bf16>& table() {
  return tables().bf16;
}

}  // namespace

template <typename T>
void sum_chosen_rows(T* y, const T* rows, const int32_t* row_of_slot, const float* weights, int64_t num_slots,
                     int64_t size) {
  table<T>().sum_chosen_rows(y, rows, row_of_slot, weights, num_slots, size);
}

template <typename T>
float scale_and_dot(T* scaled, const T* x, const T* y, float weight, int64_t size) {
  return table<T>().scale_and_dot(scaled, x, y, weight, size);
}

template <typename T>
void add_row(float* sum, const T* x, int64_t size) {
  table<T>().add_row(sum, x, size);
}

template void sum_chosen_rows(float*, const float*, const int32_t*, const float*, int64_t, int64_t);
template void sum_chosen_rows(Bf16*, const Bf16*, const int32_t*, const float*, int64_t, int64_t);
template float scale_and_dot(float*, const float*, const float*, float, int64_t);
template float scale_and_dot(Bf16*, const Bf16*, const Bf16*, float, int64_t);
template void add_row(float*, const float*, int64_t);
template void add_row(float*, const Bf16*, int64_t);

}  // namespace athanor::kernels::cpu
