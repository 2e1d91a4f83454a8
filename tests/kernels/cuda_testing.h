// One operation on a GPU beside its reference on the CPU. Every comparison runs the operation twice on
// poisoned outputs: both runs must give the same bits, and every element must be written. A table of all
// comparisons is printed at the end.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include "tests/kernels/tensor_testing.h"

namespace athanor::kernels::testing {

using Tensors = std::vector<at::Tensor>;

/// The GPU of this test program.
at::Device gpu();
/// A copy there; an undefined tensor stays undefined.
at::Tensor on_gpu(const at::Tensor& tensor);
/// An output on the GPU, filled with NaN (or -7 for whole numbers).
at::Tensor poisoned(at::IntArrayRef sizes, at::ScalarType dtype);

/// Half a unit in the last place of bf16 is 2e-3, over many elements about 1.1e-3.
inline double gpu_tolerance(at::ScalarType dtype) {
  return dtype == at::kBFloat16 ? 4e-3 : 1e-5;
}
/// Results that must have the bits of the reference.
constexpr double kExact = 0.0;

/// `run` computes on the GPU and gives its outputs in the order of `expected`. |out - expected| / |expected|
/// (Euclidean, in fp64) may be at most `tolerance`; whole numbers must be equal. `typical` is the least size
/// of an element that the error is measured by, for results that cancel to nothing.
void compare(const std::string& what, at::ScalarType dtype, double tolerance,
             const std::function<Tensors()>& run, const Tensors& expected, double typical = 1e-7);

}  // namespace athanor::kernels::testing
