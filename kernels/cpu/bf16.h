// The bits of a bfloat16, for code that must not include ATen (vector code, CUDA).
#pragma once

#include <cstdint>

namespace athanor::kernels::cpu {

/// Same layout as at::BFloat16: the upper half of a float.
struct Bf16 {
  uint16_t bits;
};

}  // namespace athanor::kernels::cpu
