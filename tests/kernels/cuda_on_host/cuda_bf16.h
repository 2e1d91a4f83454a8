// bf16 as CUDA has it, for kernels that run on this host.
#pragma once

#include "kernels/cuda/fp8_arithmetic.h"

struct __nv_bfloat16 {
  uint16_t bits;
};
inline float __bfloat162float(__nv_bfloat16 x) {
  return athanor::kernels::cuda::widened(athanor::kernels::cpu::Bf16{x.bits});
}
inline __nv_bfloat16 __float2bfloat16_rn(float x) {
  return {athanor::kernels::cuda::rounded_to_bf16(x).bits};
}
