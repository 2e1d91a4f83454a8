// RMSNorm: a block owns a row; the weight gradient sums tokens in a fixed order.
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/entries.h"

namespace athanor::kernels::cuda {
namespace {

template <typename T, int kWidth>
__global__ void forward(AthanorCudaRmsNorm p) {
  const int64_t row = blockIdx.x;
  const T* x = static_cast<const T*>(p.x) + row * p.x_stride;
  const T* w = static_cast<const T*>(p.w);
  T* y = static_cast<T*>(p.y) + row * p.num_columns;
  float values[kWidth], weights[kWidth];
  float squares = 0;
  for (int64_t i = threadIdx.x * kWidth; i < p.num_columns; i += kThreads * kWidth) {
    load(values, x + i);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) squares = fmaf(values[k], values[k], squares);
  }
  const float mean = block_sum(squares) / static_cast<float>(p.num_columns);
  const float rstd = 1.0f / sqrtf(mean + p.eps);
  if (threadIdx.x == 0) p.rstd[row] = rstd;
  for (int64_t i = threadIdx.x * kWidth; i < p.num_columns; i += kThreads * kWidth) {
    load(values, x + i);
    load(weights, w + i);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) values[k] = weights[k] * rounded<T>(values[k] * rstd);
    store(y + i, values);
  }
}

// dx may be dy: every element is read by the thread that writes it.
template <typename T, int kWidth>
__global__ void input_gradient(AthanorCudaRmsNormBackward p) {
  const int64_t row = blockIdx.x;
  const T* x = static_cast<const T*>(p.x) + row * p.x_stride;
  const T* w = static_cast<const T*>(p.w);
  const T* dy = static_cast<const T*>(p.dy) + row * p.num_columns;
  T* dx = static_cast<T*>(p.dx) + row * p.num_columns;
  float values[kWidth], weights[kWidth], gradients[kWidth];
  float dot = 0;
  for (int64_t i = threadIdx.x * kWidth; i < p.num_columns; i += kThreads * kWidth) {
    load(values, x + i);
    load(weights, w + i);
    load(gradients, dy + i);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) dot = fmaf(gradients[k] * weights[k], values[k], dot);
  }
  const float rstd = p.rstd[row];
  const float shared = block_sum(dot) * rstd * rstd / static_cast<float>(p.num_columns);
  for (int64_t i = threadIdx.x * kWidth; i < p.num_columns; i += kThreads * kWidth) {
    load(values, x + i);
    load(weights, w + i);
    load(gradients, dy + i);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) gradients[k] = rstd * (gradients[k] * weights[k] - values[k] * shared);
    store(dx + i, gradients);
  }
}

// A thread owns kWidth columns and walks some tokens in order.
template <typename T, int kWidth>
__global__ void partial_weight_gradient(AthanorCudaRmsNormBackward p) {
  const int64_t column = first_element() * kWidth;
  if (column >= p.num_columns) return;
  const T* x = static_cast<const T*>(p.x) + column;
  const T* dy = static_cast<const T*>(p.dy) + column;
  for (int64_t first = int64_t{blockIdx.y} * kRowsPerPartial; first < p.num_rows;
       first += int64_t{gridDim.y} * kRowsPerPartial) {
    const int64_t end = first + kRowsPerPartial < p.num_rows ? first + kRowsPerPartial : p.num_rows;
    float sums[kWidth] = {};
    for (int64_t t = first; t < end; ++t) {
      float values[kWidth], gradients[kWidth];
      load(values, x + t * p.x_stride);
      load(gradients, dy + t * p.num_columns);
      const float rstd = p.rstd[t];
#pragma unroll
      for (int k = 0; k < kWidth; ++k) sums[k] = fmaf(gradients[k], rounded<T>(values[k] * rstd), sums[k]);
    }
    float* to = p.partial + first / kRowsPerPartial * p.num_columns + column;
#pragma unroll
    for (int k = 0; k < kWidth; ++k) to[k] = sums[k];
  }
}

int weight_gradient(const AthanorCudaRmsNormBackward* p, bool is_wide, void* stream) {
  const int error = with_access(p->is_bf16, is_wide, [&](auto access) {
    using A = decltype(access);
    return launch(partial_weight_gradient<typename A::T, A::kWidth>,
                  partial_grid(p->num_rows, p->num_columns, A::kWidth), *p, stream);
  });
  if (error != cudaSuccess) return error;
  return launch_finish({p->dw, p->partial, p->num_rows, p->num_columns, p->accumulate_dw}, stream);
}

}  // namespace

int rms_norm(const AthanorCudaRmsNorm* p, void* stream) {
  const bool is_wide = alignment(p->is_bf16)
                           .pointer(p->x)
                           .pointer(p->y)
                           .pointer(p->w)
                           .count(p->num_columns)
                           .count(p->x_stride)
                           .is_wide;
  return with_access(p->is_bf16, is_wide, [&](auto access) {
    using A = decltype(access);
    return launch(forward<typename A::T, A::kWidth>, p->num_rows, *p, stream);
  });
}

int rms_norm_backward(const AthanorCudaRmsNormBackward* p, void* stream) {
  const bool is_wide = alignment(p->is_bf16)
                           .pointer(p->x)
                           .pointer(p->dx)
                           .pointer(p->dy)
                           .pointer(p->w)
                           .count(p->num_columns)
                           .count(p->x_stride)
                           .is_wide;
  // The weight first: dx may be dy.
  if (p->dw)
    if (const int error = weight_gradient(p, is_wide, stream)) return error;
  return with_access(p->is_bf16, is_wide, [&](auto access) {
    using A = decltype(access);
    return launch(input_gradient<typename A::T, A::kWidth>, p->num_rows, *p, stream);
  });
}

}  // namespace athanor::kernels::cuda
