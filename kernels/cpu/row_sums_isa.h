// What each instruction set's copy of row_sums.inl gives; row_sums.cpp picks one.
#pragma once

#include "kernels/cpu/row_sums.h"

namespace athanor::kernels::cpu {

template <typename T>
struct RowSumsTable {
  void (*sum_chosen_rows)(T*, const T*, const int32_t*, const float*, int64_t, int64_t);
  float (*scale_and_dot)(T*, const T*, const T*, float, int64_t);
  void (*add_row)(float*, const T*, int64_t);
};

struct RowSumsTables {
  RowSumsTable<float> f32;
  RowSumsTable<Bf16> bf16;
};

namespace avx512 {
extern const RowSumsTables kRowSumsTables;
}
namespace avx2 {
extern const RowSumsTables kRowSumsTables;
}
namespace portable {
extern const RowSumsTables kRowSumsTables;
}

}  // namespace athanor::kernels::cpu
