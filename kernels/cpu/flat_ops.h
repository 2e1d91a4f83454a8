// Operations on stretches of flat buffers, single-threaded, with the best instruction set of this processor.
#pragma once

#include <cstdint>

#include "kernels/cpu/bf16.h"

namespace athanor::kernels::cpu {

/// The scalars of one AdamW update, rounded to fp32 as torch.optim does.
struct AdamWScalars {
  float gradient_scale, keep;  ///< keep: 1 - learning_rate * weight_decay, or 1 where nothing decays
  float one_minus_beta1, beta2, one_minus_beta2;
  float sqrt_correction2, eps, minus_step_size;  ///< sqrt(1 - beta2^t); -learning_rate / (1 - beta1^t)
};

/// A stretch of n elements. M: float or Bf16. `compute` may be null.
template <typename M>
struct AdamWSlice {
  float* master;
  M* exp_avg;
  M* exp_avg_sq;
  const float* gradient;
  Bf16* compute;
  int64_t num_elements;
};

struct FlatTable {
  void (*adamw_f32)(const AdamWSlice<float>&, const AdamWScalars&);
  void (*adamw_bf16)(const AdamWSlice<Bf16>&, const AdamWScalars&);
  /// out = the tree over parts of elements [begin, end), as ordered_sum in ops.h; out may be a part. One for
  /// each pair (type of out, type of parts).
  void (*ordered_sum_f32_f32)(float* out, const float* const* parts, int64_t num_parts, int64_t begin,
                              int64_t end);
  void (*ordered_sum_bf16_f32)(Bf16* out, const float* const* parts, int64_t num_parts, int64_t begin,
                               int64_t end);
  void (*ordered_sum_f32_bf16)(float* out, const Bf16* const* parts, int64_t num_parts, int64_t begin,
                               int64_t end);
  void (*ordered_sum_bf16_bf16)(Bf16* out, const Bf16* const* parts, int64_t num_parts, int64_t begin,
                                int64_t end);
  /// The sum of squares in fp64: eight partial sums taken in turn, then one fixed tree.
  double (*square_sum)(const float* x, int64_t num_elements);
};

/// The table of this processor.
const FlatTable& flat_table();

namespace avx512 {
extern const FlatTable kFlatTable;
}
namespace avx2 {
extern const FlatTable kFlatTable;
}
namespace portable {
extern const FlatTable kFlatTable;
}

}  // namespace athanor::kernels::cpu
