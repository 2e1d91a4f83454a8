#include "kernels/cpu/gemm.h"

#include "kernels/cpu/gemm_isa.h"
#include "kernels/cpu/processor.h"

namespace athanor::kernels::cpu {
namespace {

const GemmTable& table() {
  return table_for_processor(portable::kGemmTable, avx2::kGemmTable, avx512::kGemmTable);
}

}  // namespace

template <>
void pack_nk(float* packed, const float* b, int64_t row_stride, int64_t num_columns, int64_t depth) {
  table().pack_nk_f32(packed, b, row_stride, num_columns, depth);
}
template <>
void pack_nk(Bf16* packed, const Bf16* b, int64_t row_stride, int64_t num_columns, int64_t depth) {
  table().pack_nk_bf16(packed, b, row_stride, num_columns, depth);
}
template <>
void pack_kn(float* packed, const float* b, int64_t row_stride, int64_t num_columns, int64_t depth) {
  table().pack_kn_f32(packed, b, row_stride, num_columns, depth);
}
template <>
void pack_kn(Bf16* packed, const Bf16* b, int64_t row_stride, int64_t num_columns, int64_t depth) {
  table().pack_kn_bf16(packed, b, row_stride, num_columns, depth);
}

template <>
void gemm(const GemmArgs<float, float>& args) {
  table().f32_f32(args);
}
template <>
void gemm(const GemmArgs<float, Bf16>& args) {
  table().f32_bf16(args);
}
template <>
void gemm(const GemmArgs<Bf16, float>& args) {
  table().bf16_f32(args);
}
template <>
void gemm(const GemmArgs<Bf16, Bf16>& args) {
  table().bf16_bf16(args);
}

const char* gemm_kernel_name() {
  return isa_name(processor_isa());
}

}  // namespace athanor::kernels::cpu
