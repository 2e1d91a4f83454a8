// What FP8 products need beside cuBLAS: operands transposed, and chains of 128 products scaled and added.
#include "kernels/cuda/device_code.cuh"
#include "kernels/cuda/entries.h"
#include "kernels/cuda/fp8_places.h"

namespace athanor::kernels::cuda {
namespace {

constexpr int kColumns = 64;  // of one block of threads
constexpr int kBytes = 4;     // of one access

/// 128 rows of up to 64 columns. A row of the shared copy is one column, padded by an access so that the
/// lanes of a warp write to different banks.
__global__ void transpose_bytes(AthanorCudaFp8Transpose p) {
  alignas(kBytes) __shared__ uint8_t columns[kColumns][kTile + kBytes];
  const int64_t blocks_across = (p.num_columns + kColumns - 1) / kColumns;
  const int64_t index = whole_quotient(blockIdx.x, blocks_across);
  const int64_t first = (blockIdx.x - index * blocks_across) * kColumns;
  const int count = static_cast<int>(smaller(kColumns, p.num_columns - first));
  const TransposedTile tile = transposed_tile(p, index);

  constexpr int kAcross = kColumns / kBytes;
  const int d = threadIdx.x % kAcross * kBytes;
  for (int i = threadIdx.x / kAcross; i < tile.num_written; i += kThreads / kAcross) {
    Vector<uint8_t, kBytes> bytes = {};
    if (i < tile.num_rows && d < count)
      bytes = *reinterpret_cast<const Vector<uint8_t, kBytes>*>(
          p.codes + (tile.row_begin + i) * p.num_columns + first + d);
#pragma unroll
    for (int j = 0; j < kBytes; ++j) columns[d + j][i] = bytes.values[j];
  }
  __syncthreads();
  const int i = threadIdx.x % kWarpSize * kBytes;
  if (i >= tile.num_written) return;
  for (int c = threadIdx.x / kWarpSize; c < count; c += kThreads / kWarpSize)
    *reinterpret_cast<Vector<uint8_t, kBytes>*>(p.out + tile.out_begin + (first + c) * tile.pitch + i) =
        *reinterpret_cast<const Vector<uint8_t, kBytes>*>(&columns[c][i]);
}

__device__ inline float scale_at(const AthanorCudaScaleVector& scales, int64_t i) {
  return scales.data[whole_quotient(i, scales.sharers) * scales.stride];
}

__global__ void add_scaled_kernel(AthanorCudaAddScaled p) {
  for (int64_t i = first_element(); i < p.num_rows * p.num_columns; i += element_stride()) {
    const int64_t row = whole_quotient(i, p.num_columns);
    const float scale =
        product_rn(scale_at(p.row_scales, row), scale_at(p.column_scales, i - row * p.num_columns));
    p.sums[i] = fmaf(p.part[i], scale, p.sums[i]);
  }
}

}  // namespace

int fp8_transpose(const AthanorCudaFp8Transpose* p, void* stream) {
  const bool is_aligned = p->num_columns % kBytes == 0 && (p->token_tiles || p->num_rows % kBytes == 0) &&
                          reinterpret_cast<uintptr_t>(p->out) % kBytes == 0 &&
                          reinterpret_cast<uintptr_t>(p->codes) % kBytes == 0;
  if (!is_aligned) return cudaErrorInvalidValue;
  return launch(transpose_bytes, p->num_tiles * ceil_div(p->num_columns, kColumns), *p, stream);
}

int add_scaled(const AthanorCudaAddScaled* p, void* stream) {
  return launch(add_scaled_kernel, blocks_for(p->num_rows * p->num_columns), *p, stream);
}

}  // namespace athanor::kernels::cuda
