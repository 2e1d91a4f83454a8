// Embedding rows, and their gradient without atomics: tokens come sorted by id, and the block of the first
// token of an id adds them all in ascending order, as kernels/cpu/embedding.cpp does.
#include <math_constants.h>

#include "kernels/cuda/device_code.cuh"
#include "kernels/cuda/entries.h"

namespace athanor::kernels::cuda {
namespace {

template <typename T, int kWidth>
__global__ void copy_rows(AthanorCudaEmbedding p) {
  const int64_t token = blockIdx.x, id = p.ids[token], row = id - p.first_id;
  const bool is_bad = id < 0 || id >= p.vocabulary, is_here = row >= 0 && row < p.num_rows && !is_bad;
  const T* from = static_cast<const T*>(p.w) + (is_here ? row : 0) * p.num_columns;
  T* to = static_cast<T*>(p.y) + token * p.num_columns;
  for (int64_t i = threadIdx.x * kWidth; i < p.num_columns; i += kThreads * kWidth) {
    float values[kWidth];
    if (is_here) {
      load(values, from + i);
    } else {
#pragma unroll
      for (int k = 0; k < kWidth; ++k) values[k] = is_bad ? CUDART_NAN_F : 0.0f;
    }
    store(to + i, values);
  }
}

template <typename T, int kWidth>
__global__ void add_rows(AthanorCudaEmbeddingBackward p) {
  const int64_t first = blockIdx.x, id = p.sorted_ids[first], row = id - p.first_id;
  if (row < 0 || row >= p.num_rows || (first > 0 && p.sorted_ids[first - 1] == id)) return;
  const T* dy = static_cast<const T*>(p.dy);
  float* dw = p.dw + row * p.num_columns;
  int64_t end = first + 1;
  while (end < p.num_tokens && p.sorted_ids[end] == id) ++end;
  for (int64_t i = threadIdx.x * kWidth; i < p.num_columns; i += kThreads * kWidth) {
    float sums[kWidth], values[kWidth];
#pragma unroll
    for (int k = 0; k < kWidth; ++k) sums[k] = dw[i + k];
#pragma unroll 4
    for (int64_t t = first; t < end; ++t) {
      load(values, dy + p.sorted_tokens[t] * p.num_columns + i);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) sums[k] += values[k];
    }
#pragma unroll
    for (int k = 0; k < kWidth; ++k) dw[i + k] = sums[k];
  }
}

}  // namespace

int embedding(const AthanorCudaEmbedding* p, void* stream) {
  const bool is_wide = alignment(p->is_bf16).pointer(p->y).pointer(p->w).count(p->num_columns).is_wide;
  return with_access(p->is_bf16, is_wide, [&](auto access) {
    using A = decltype(access);
    return launch(copy_rows<typename A::T, A::kWidth>, p->num_tokens, *p, stream);
  });
}

int embedding_backward(const AthanorCudaEmbeddingBackward* p, void* stream) {
  const bool is_wide = alignment(p->is_bf16).pointer(p->dy).count(p->num_columns).is_wide;
  return with_access(p->is_bf16, is_wide, [&](auto access) {
    using A = decltype(access);
    return launch(add_rows<typename A::T, A::kWidth>, p->num_tokens, *p, stream);
  });
}

}  // namespace athanor::kernels::cuda
