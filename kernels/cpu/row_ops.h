// Operations on one row, single-threaded, with the best instruction set of this processor. T: float or Bf16.
// All arithmetic is fp32; the bits of a row depend on that row alone. Rows need no alignment.
#pragma once

#include <cstdint>

#include "kernels/cpu/bf16.h"

namespace athanor::kernels::cpu {

/// How `rotary` finds and leaves the pairs of a row.
struct RotaryLayout {
  int64_t num_pairs;
  bool interleaved, inverse;  ///< as RotaryOptions in ops.h
};
constexpr int64_t kMaxRotaryPairs = 512;

template <typename T>
struct RowTable {
  /// y = cast(x * rstd) * w with rstd = 1 / sqrt(mean(x^2) + eps), which is returned. y may be x.
  float (*rms_norm)(T* y, const T* x, const T* w, int64_t num_columns, float eps);
  /// dx = rstd * (dy*w - x*rstd * mean(dy*w * x*rstd)). dx may be dy.
  void (*rms_norm_backward)(T* dx, const T* dy, const T* x, const T* w, int64_t num_columns, float rstd);
  /// dw += dy * cast(x * rstd): one token's part of some columns.
  void (*rms_norm_weight_gradient)(float* dw, const T* dy, const T* x, int64_t num_columns, float rstd);
  /// h = gate * sigmoid(gate) * up.
  void (*swiglu)(T* h, const T* gate, const T* up, int64_t num_columns);
  void (*swiglu_backward)(T* dgate, T* dup, const T* dh, const T* gate, const T* up, int64_t num_columns);
  /// x: 2 * num_pairs values, rotated in place; num_pairs <= kMaxRotaryPairs.
  void (*rotary)(T* x, const float* cos, const float* sin, const RotaryLayout& layout);
  /// sum += x.
  void (*add_row)(float* sum, const T* x, int64_t num_columns);
  /// out = cast(sum + bias); bias may be null.
  void (*finish_row)(T* out, const float* sum, const float* bias, int64_t num_columns);
};

/// The table of this processor.
template <typename T>
const RowTable<T>& row_table();

namespace avx512 {
extern const RowTable<float> kRowTableF32;
extern const RowTable<Bf16> kRowTableBf16;
}  // namespace avx512
namespace avx2 {
extern const RowTable<float> kRowTableF32;
extern const RowTable<Bf16> kRowTableBf16;
}  // namespace avx2
namespace portable {
extern const RowTable<float> kRowTableF32;
extern const RowTable<Bf16> kRowTableBf16;
}  // namespace portable

}  // namespace athanor::kernels::cpu
