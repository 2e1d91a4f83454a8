// What every test of a kernel needs: random tensors, bit comparison, thread counts.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include "core/parallel_for.h"

namespace athanor::kernels::testing {

inline at::TensorOptions typed(at::ScalarType dtype) {
  return at::TensorOptions().dtype(dtype);
}

/// Normal values; the same for the same seed.
inline at::Tensor random_tensor(at::IntArrayRef sizes, at::ScalarType dtype, uint32_t seed,
                                double scale = 1.0) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  at::Tensor x = at::empty(sizes, typed(at::kFloat));
  float* data = x.mutable_data_ptr<float>();
  for (int64_t i = 0; i < x.numel(); ++i) data[i] = normal(generator) * static_cast<float>(scale);
  return x.to(dtype);
}

/// The same values in a tensor whose rows lie `gap` elements further apart.
inline at::Tensor with_row_gap(const at::Tensor& matrix, int64_t gap) {
  at::Tensor wide = random_tensor({matrix.size(0), matrix.size(1) + gap}, matrix.scalar_type(), 99);
  at::Tensor view = wide.narrow(1, 0, matrix.size(1));
  view.copy_(matrix);
  return view;
}

inline bool same_bits(const at::Tensor& x, const at::Tensor& y) {
  if (x.sizes() != y.sizes() || x.scalar_type() != y.scalar_type()) return false;
  const at::Tensor a = x.contiguous(), b = y.contiguous();
  return a.numel() == 0 || std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0;
}

/// The largest |x - y| / (1 + |y|).
inline double largest_error(const at::Tensor& x, const at::Tensor& y) {
  const at::Tensor a = x.to(at::kDouble).contiguous(), b = y.to(at::kDouble).contiguous();
  EXPECT_EQ(a.sizes(), b.sizes());
  double worst = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    const double u = a.const_data_ptr<double>()[i], v = b.const_data_ptr<double>()[i];
    const double error = std::abs(u - v) / (1 + std::abs(v));
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

/// Half a unit in the last place of the dtype, with room for fp32 arithmetic before it.
inline double tolerance(at::ScalarType dtype) {
  return dtype == at::kBFloat16 ? 1.0 / 255 : 2e-6;
}

/// Runs with 1, 2 and 3 threads.
template <typename Body>
void for_thread_counts(Body body) {
  for (const int num_threads : {1, 2, 3}) {
    core::set_num_threads(num_threads);
    SCOPED_TRACE(::testing::Message() << num_threads << " threads");
    body();
  }
  core::set_num_threads(1);
}

constexpr at::ScalarType kComputeTypes[] = {at::kFloat, at::kBFloat16};

}  // namespace athanor::kernels::testing
