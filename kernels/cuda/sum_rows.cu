// Column sums of a matrix: a bias gradient.
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/entries.h"

namespace athanor::kernels::cuda {
namespace {

template <typename T, int kWidth>
__global__ void partial_sums(AthanorCudaSumRows p) {
  const int64_t column = first_element() * kWidth;
  if (column >= p.num_columns) return;
  const T* a = static_cast<const T*>(p.a) + column;
  for (int64_t first = int64_t{blockIdx.y} * kRowsPerPartial; first < p.num_rows;
       first += int64_t{gridDim.y} * kRowsPerPartial) {
    const int64_t end = first + kRowsPerPartial < p.num_rows ? first + kRowsPerPartial : p.num_rows;
    float sums[kWidth] = {};
    for (int64_t t = first; t < end; ++t) {
      float values[kWidth];
      load(values, a + t * p.a_stride);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) sums[k] += values[k];
    }
    float* to = p.partial + first / kRowsPerPartial * p.num_columns + column;
#pragma unroll
    for (int k = 0; k < kWidth; ++k) to[k] = sums[k];
  }
}

}  // namespace

int sum_rows(const AthanorCudaSumRows* p, void* stream) {
  const bool is_wide = alignment(p->is_bf16).pointer(p->a).count(p->num_columns).count(p->a_stride).is_wide;
  const int error = with_access(p->is_bf16, is_wide, [&](auto access) {
    using A = decltype(access);
    return launch(partial_sums<typename A::T, A::kWidth>,
                  partial_grid(p->num_rows, p->num_columns, A::kWidth), *p, stream);
  });
  if (error != cudaSuccess) return error;
  return launch_finish({p->out, p->partial, p->num_rows, p->num_columns, p->accumulate}, stream);
}

}  // namespace athanor::kernels::cuda
