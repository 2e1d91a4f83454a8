// Sums of whole rows, single-threaded, with the best instruction set of this processor: what combining
// experts and the embedding's gradient need. T: float or Bf16; sums are in fp32 and rounded to T once.
#pragma once

#include <cstdint>

#include "kernels/cpu/bf16.h"

namespace athanor::kernels::cpu {

template <typename T>
struct RowSumTable {
  /// y[0..size) = sum over a ascending of weights[a] * rows[row_of_slot[a]], each step one fused
  /// multiply-add. Slots with a negative row are left out. weights == nullptr: all one.
  void (*sum_chosen_rows)(T* y, const T* rows, const int32_t* row_of_slot, const float* weights,
                          int64_t num_slots, int64_t size);
  /// scaled[0..size) = weight * x, and returns the inner product of x and y, summed in one fixed order.
  float (*scale_and_dot)(T* scaled, const T* x, const T* y, float weight, int64_t size);
};

/// The table of this processor.
template <typename T>
const RowSumTable<T>& row_sum_table();

namespace avx512 {
extern const RowSumTable<float> kRowSumsF32;
extern const RowSumTable<Bf16> kRowSumsBf16;
}  // namespace avx512
namespace avx2 {
extern const RowSumTable<float> kRowSumsF32;
extern const RowSumTable<Bf16> kRowSumsBf16;
}  // namespace avx2
namespace portable {
extern const RowSumTable<float> kRowSumsF32;
extern const RowSumTable<Bf16> kRowSumsBf16;
}  // namespace portable

}  // namespace athanor::kernels::cpu
