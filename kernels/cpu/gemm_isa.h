// What each instruction set's copy of gemm.inl gives; gemm.cpp picks one.
#pragma once

#include "kernels/cpu/gemm.h"

namespace athanor::kernels::cpu {

struct GemmTable {
  void (*f32_f32)(const GemmArgs<float, float>&);
  void (*f32_bf16)(const GemmArgs<float, Bf16>&);
  void (*bf16_f32)(const GemmArgs<Bf16, float>&);
  void (*bf16_bf16)(const GemmArgs<Bf16, Bf16>&);
  void (*pack_nk_f32)(float*, const float*, int64_t row_stride, int64_t num_columns, int64_t depth);
  void (*pack_nk_bf16)(Bf16*, const Bf16*, int64_t row_stride, int64_t num_columns, int64_t depth);
  void (*pack_kn_f32)(float*, const float*, int64_t row_stride, int64_t num_columns, int64_t depth);
  void (*pack_kn_bf16)(Bf16*, const Bf16*, int64_t row_stride, int64_t num_columns, int64_t depth);
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
