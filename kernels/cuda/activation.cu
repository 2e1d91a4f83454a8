// SwiGLU: y over rows, x over columns.
#include "kernels/cuda/device_code.cuh"
#include "kernels/cuda/entries.h"

namespace athanor::kernels::cuda {
namespace {

template <typename T, int kWidth>
__global__ void forward(AthanorCudaSwiglu p) {
  const int64_t column = first_element() * kWidth;
  if (column >= p.num_columns) return;
  for (int64_t row = blockIdx.y; row < p.num_rows; row += gridDim.y) {
    const T* gate = static_cast<const T*>(p.gate_up) + 2 * row * p.num_columns + column;
    float gates[kWidth], ups[kWidth];
    load(gates, gate);
    load(ups, gate + p.num_columns);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) gates[k] = gates[k] / (1.0f + expf(-gates[k])) * ups[k];
    store(static_cast<T*>(p.out) + row * p.num_columns + column, gates);
  }
}

template <typename T, int kWidth>
__global__ void backward(AthanorCudaSwiglu p) {
  const int64_t column = first_element() * kWidth;
  if (column >= p.num_columns) return;
  for (int64_t row = blockIdx.y; row < p.num_rows; row += gridDim.y) {
    const T* gate = static_cast<const T*>(p.gate_up) + 2 * row * p.num_columns + column;
    T* dgate = static_cast<T*>(p.out) + 2 * row * p.num_columns + column;
    float gates[kWidth], ups[kWidth], gradients[kWidth];
    load(gates, gate);
    load(ups, gate + p.num_columns);
    load(gradients, static_cast<const T*>(p.dh) + row * p.num_columns + column);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      const float g = gates[k], d = gradients[k], s = 1.0f / (1.0f + expf(-g));
      gates[k] = d * ups[k] * (s * fmaf(g, 1.0f - s, 1.0f));
      ups[k] = d * (g * s);
    }
    store(dgate, gates);
    store(dgate + p.num_columns, ups);
  }
}

Grid grid_of(const AthanorCudaSwiglu* p, int width) {
  const int64_t rows = p->num_rows < kMaxGridY ? p->num_rows : kMaxGridY;
  return {dim3(static_cast<unsigned>(ceil_div(p->num_columns, int64_t{kThreads} * width)),
               static_cast<unsigned>(rows))};
}

bool is_wide(const AthanorCudaSwiglu* p) {
  return alignment(p->is_bf16)
      .pointer(p->out)
      .pointer(p->dh)
      .pointer(p->gate_up)
      .count(p->num_columns)
      .is_wide;
}

}  // namespace

int swiglu(const AthanorCudaSwiglu* p, void* stream) {
  return with_access(p->is_bf16, is_wide(p), [&](auto access) {
    using A = decltype(access);
    return launch(forward<typename A::T, A::kWidth>, grid_of(p, A::kWidth), *p, stream);
  });
}

int swiglu_backward(const AthanorCudaSwiglu* p, void* stream) {
  return with_access(p->is_bf16, is_wide(p), [&](auto access) {
    using A = decltype(access);
    return launch(backward<typename A::T, A::kWidth>, grid_of(p, A::kWidth), *p, stream);
  });
}

}  // namespace athanor::kernels::cuda
