// What the tests of the kernels share: reproducible random tensors, comparing, and running with several
// thread counts.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include "tests/kernels/kernel_test.h"

namespace athanor::kernels::testing {

/// Standard normal values that depend on the name only.
at::Tensor normal(const std::string& name, const std::vector<int64_t>& sizes,
                  at::ScalarType dtype = at::kFloat);

/// Uniform whole numbers in [0, bound).
at::Tensor whole_numbers(const std::string& name, const std::vector<int64_t>& sizes, int64_t bound,
                         at::ScalarType dtype = at::kLong);

/// Every |a - b| <= tolerance * (1 + largest |b|); NaN fails.
::testing::AssertionResult near(const at::Tensor& a, const at::Tensor& b, double tolerance);

/// Largest relative error of a result of this dtype that is rounded once.
inline double rounding_of(at::ScalarType dtype) {
  return dtype == at::kFloat ? 2e-6 : 1e-2;
}

/// Runs `compute` with 1, 2 and 3 threads and expects the same bits; leaves one thread; gives the first
/// result.
std::vector<at::Tensor> on_any_threads(const std::function<std::vector<at::Tensor>()>& compute);

}  // namespace athanor::kernels::testing
