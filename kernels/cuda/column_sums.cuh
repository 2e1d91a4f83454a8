// Sums over the tokens of a matrix, column by column: partial sums of ATHANOR_CUDA_ROWS_PER_PARTIAL tokens,
// then the partial sums in ascending order. The bits depend on the tokens alone, not on the device.
#pragma once

#include "kernels/cuda/device_code.cuh"
#include "kernels/cuda/table.h"

namespace athanor::kernels::cuda {

struct ColumnSums {
  float* out;
  const float* partial;
  int64_t num_rows, num_columns;
  int accumulate;
};

constexpr int kRowsPerPartial = ATHANOR_CUDA_ROWS_PER_PARTIAL;

static __global__ void finish_column_sums(ColumnSums p) {
  const int64_t column = first_element();
  if (column >= p.num_columns) return;
  const int64_t num_partials = (p.num_rows + kRowsPerPartial - 1) / kRowsPerPartial;
  float sum = p.accumulate ? p.out[column] : 0.0f;
#pragma unroll 8
  for (int64_t i = 0; i < num_partials; ++i) sum += p.partial[i * p.num_columns + column];
  p.out[column] = sum;
}

/// The grid of the first step: x over columns, y over the partial sums.
inline Grid partial_grid(int64_t num_rows, int64_t num_columns, int width) {
  const int64_t num_partials = ceil_div(num_rows, kRowsPerPartial);
  return {dim3(static_cast<unsigned>(ceil_div(num_columns, int64_t{kThreads} * width)),
               static_cast<unsigned>(num_partials < kMaxGridY ? num_partials : kMaxGridY))};
}

inline int launch_finish(const ColumnSums& sums, void* stream) {
  return launch(finish_column_sums, ceil_div(sums.num_columns, kThreads), sums, stream);
}

}  // namespace athanor::kernels::cuda
