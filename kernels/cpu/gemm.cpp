#include "kernels/cpu/gemm.h"

#include <algorithm>

#include "kernels/cpu/gemm_isa.h"
#include "kernels/cpu/processor.h"

namespace athanor::kernels::cpu {
namespace {

const GemmTable& table() {
  return table_for_processor(portable::kGemmTable, avx2::kGemmTable, avx512::kGemmTable);
}

/// Columns of panel `first / 16` that exist.
int64_t width_of_panel(int64_t num_columns, int64_t first) {
  return std::min(kPanelColumns, num_columns - first);
}

}  // namespace

template <typename T>
void pack_nk(T* packed, const T* b, int64_t row_stride, int64_t num_columns, int64_t depth) {
  for (int64_t first = 0; first < num_columns; first += kPanelColumns, packed += kPanelColumns * depth) {
    const int64_t width = width_of_panel(num_columns, first);
    const T* from = b + first * row_stride;
    for (int64_t k = 0; k < depth; ++k)
      for (int64_t n = 0; n < kPanelColumns; ++n)
        packed[k * kPanelColumns + n] = n < width ? from[n * row_stride + k] : T{};
  }
}

template <typename T>
void pack_kn(T* packed, const T* b, int64_t row_stride, int64_t num_columns, int64_t depth) {
  for (int64_t first = 0; first < num_columns; first += kPanelColumns, packed += kPanelColumns * depth) {
    const int64_t width = width_of_panel(num_columns, first);
    for (int64_t k = 0; k < depth; ++k) {
      T* to = packed + k * kPanelColumns;
      std::copy_n(b + k * row_stride + first, width, to);
      std::fill(to + width, to + kPanelColumns, T{});
    }
  }
}

template void pack_nk(float*, const float*, int64_t, int64_t, int64_t);
template void pack_nk(Bf16*, const Bf16*, int64_t, int64_t, int64_t);
template void pack_kn(float*, const float*, int64_t, int64_t, int64_t);
template void pack_kn(Bf16*, const Bf16*, int64_t, int64_t, int64_t);

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
