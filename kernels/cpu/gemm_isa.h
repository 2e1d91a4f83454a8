// What each instruction set's copy of gemm.inl gives; gemm.cpp picks one.
#pragma once

#include "kernels/cpu/gemm.h"

namespace athanor::kernels::cpu {

struct GemmTable {
  void (*f32_f32)(const GemmArgs<float, float>&);
  void (*f32_bf16)(const GemmArgs<float, Bf16>&);
  void (*bf16_f32)(const GemmArgs<Bf16, float>&);
  void (*bf16_bf16)(const GemmArgs<Bf16, Bf16>&);
};

namespace avx512 {
extern const GemmTable kGemmTable;
}
namespace avx2 {
extern const GemmTable kGemmTable;
}
namespace portable {
extern const GemmTable kGemmTable;
}

}  // namespace athanor::kernels::cpu
