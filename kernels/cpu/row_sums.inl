// Sums of whole rows, compiled once per instruction set. Lane i of a sum takes the elements i, i + 16, i +
// 32, ...
#include "kernels/cpu/row_sums.h"
#include "kernels/cpu/simd.h"

namespace athanor::kernels::cpu::ATHANOR_ISA {
namespace {

/// One group of up to 16 columns of a row.
template <typename T>
struct Columns {
  int64_t first, count;
  F32x16 of(const T* row) const {
    return count == kLanes ? load(row + first) : load_first(row + first, count);
  }
  void put(T* row, F32x16 value) const {
    count == kLanes ? store(row + first, value) : store_first(row + first, value, count);
  }
};

/// body(columns) for every group of a row of `size` elements.
template <typename T, typename Body>
ATHANOR_INLINE void for_columns(int64_t size, const Body& body) {
  int64_t first = 0;
  for (; first + kLanes <= size; first += kLanes) body(Columns<T>{first, kLanes});
  if (first < size) body(Columns<T>{first, size - first});
}

template <typename T>
void run_sum_chosen_rows(T* y, const T* rows, const int32_t* row_of_slot, const float* weights,
                         int64_t num_slots, int64_t size) {
  for_columns<T>(size, [&](const Columns<T> columns) {
    F32x16 sum = zero();
    for (int64_t a = 0; a < num_slots; ++a) {
      if (row_of_slot[a] < 0) continue;
      sum = fma(set1(weights ? weights[a] : 1.0f), columns.of(rows + row_of_slot[a] * size), sum);
    }
    columns.put(y, sum);
  });
}

template <typename T>
float run_scale_and_dot(T* scaled, const T* x, const T* y, float weight, int64_t size) {
  F32x16 dot = zero();
  for_columns<T>(size, [&](const Columns<T> columns) {
    const F32x16 values = columns.of(x);
    dot = fma(values, columns.of(y), dot);
    columns.put(scaled, mul(set1(weight), values));
  });
  return sum_lanes(dot);
}

}  // namespace

extern const RowSumTable<float> kRowSumsF32;
const RowSumTable<float> kRowSumsF32{run_sum_chosen_rows<float>, run_scale_and_dot<float>};
extern const RowSumTable<Bf16> kRowSumsBf16;
const RowSumTable<Bf16> kRowSumsBf16{run_sum_chosen_rows<Bf16>, run_scale_and_dot<Bf16>};

}  // namespace athanor::kernels::cpu::ATHANOR_ISA
