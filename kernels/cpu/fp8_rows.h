// E4M3 codes of stretches of one row, single-threaded, with the best instruction set of this processor. T:
// float or Bf16. A code's bits depend on its own value and scale alone. Nothing needs alignment.
#pragma once

#include <cstdint>

#include "kernels/cpu/bf16.h"

namespace athanor::kernels::cpu {

template <typename T>
struct Fp8Table {
  /// The largest |x|; NaN when there is one.
  float (*largest_magnitude)(const T* x, int64_t count);
  /// largest[i] = max(largest[i], |x[i]|); NaN stays.
  void (*raise_magnitudes)(float* largest, const T* x, int64_t count);

  /// codes[i] = x[i] * factor, rounded to the nearest code (ties to even), 448 where it is larger.
  void (*encode)(uint8_t* codes, const T* x, float factor, int64_t count);
  /// The same with a factor for each element.
  void (*encode_each)(uint8_t* codes, const T* x, const float* factors, int64_t count);

  /// out[i] = value of codes[i] * scale, rounded to T.
  void (*decode)(T* out, const uint8_t* codes, float scale, int64_t count);
  void (*decode_each)(T* out, const uint8_t* codes, const float* scales, int64_t count);

  /// Encodes and decodes in one pass without leaving codes behind.
  void (*round)(Bf16* out, const T* x, float factor, float scale, int64_t count);
  void (*round_each)(Bf16* out, const T* x, const float* factors, const float* scales, int64_t count);
};

/// The table of this processor.
template <typename T>
const Fp8Table<T>& fp8_table();

/// sum[i] = part[i] * (factor * factors[i]) + sum[i], the last two operations rounded once.
using AddScaled = void (*)(float* sum, const float* part, float factor, const float* factors, int64_t count);
AddScaled add_scaled();

namespace avx512 {
extern const Fp8Table<float> kFp8TableF32;
extern const Fp8Table<Bf16> kFp8TableBf16;
extern const AddScaled kAddScaled;
}  // namespace avx512
namespace avx2 {
extern const Fp8Table<float> kFp8TableF32;
extern const Fp8Table<Bf16> kFp8TableBf16;
extern const AddScaled kAddScaled;
}  // namespace avx2
namespace portable {
extern const Fp8Table<float> kFp8TableF32;
extern const Fp8Table<Bf16> kFp8TableBf16;
extern const AddScaled kAddScaled;
}  // namespace portable

}  // namespace athanor::kernels::cpu
