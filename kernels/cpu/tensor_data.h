// From tensors to the typed pointers of the vector code.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/cpu/bf16.h"

namespace athanor::kernels::cpu {

/// T: float, double, int32_t, ..., or Bf16 for a bfloat16 tensor. The caller has checked the dtype.
template <typename T>
T* mutable_data(const at::Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}
template <typename T>
const T* data(const at::Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}

/// Calls f(T{}) with the compute type of the tensor: float or Bf16.
template <typename F>
void with_compute_type(const at::Tensor& tensor, F f) {
  if (tensor.scalar_type() == at::kBFloat16)
    f(Bf16{});
  else
    f(float{});
}

}  // namespace athanor::kernels::cpu
