#include "tests/kernels/tensor_testing.h"

#include <cstring>

#include <ATen/ops/empty.h>

#include "core/parallel_for.h"
#include "core/rng.h"

namespace athanor::kernels::testing {

at::Tensor normal(const std::string& name, std::vector<int64_t> sizes, at::ScalarType dtype) {
  const core::CounterRng rng(7, name);
  const at::Tensor values = at::empty(sizes, at::kFloat);
  for (int64_t i = 0; i < values.numel(); ++i)
    values.data_ptr<float>()[i] = static_cast<float>(rng.normal(static_cast<uint64_t>(i)));
  return values.to(dtype);
}

at::Tensor whole_numbers(const std::string& name, std::vector<int64_t> sizes, int64_t bound,
                         at::ScalarType dtype) {
  const core::CounterRng rng(7, name);
  const at::Tensor values = at::empty(sizes, at::kLong);
  for (int64_t i = 0; i < values.numel(); ++i)
    values.data_ptr<int64_t>()[i] =
        static_cast<int64_t>(rng.below(static_cast<uint64_t>(i), static_cast<uint64_t>(bound)));
  return values.to(dtype);
}

::testing::AssertionResult near(const at::Tensor& a, const at::Tensor& b, double tolerance) {
  if (a.sizes() != b.sizes()) return ::testing::AssertionFailure() << "shapes differ";
  const at::Tensor left = a.detach().to(at::kDouble).contiguous(),
                   right = b.detach().to(at::kDouble).contiguous();
  double largest = 0.0;
  for (int64_t i = 0; i < right.numel(); ++i)
    largest = std::max(largest, std::abs(right.const_data_ptr<double>()[i]));
  for (int64_t i = 0; i < left.numel(); ++i) {
    const double x = left.const_data_ptr<double>()[i], y = right.const_data_ptr<double>()[i];
    if (!(std::abs(x - y) <= tolerance * (1.0 + largest)))
      return ::testing::AssertionFailure() << "element " << i << ": " << x << " against " << y << ", allowed "
                                           << tolerance * (1.0 + largest);
  }
  return ::testing::AssertionSuccess();
}

::testing::AssertionResult same_bits(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes() || a.scalar_type() != b.scalar_type())
    return ::testing::AssertionFailure() << "shapes or dtypes differ";
  const at::Tensor left = a.contiguous(), right = b.contiguous();
  const auto size = static_cast<size_t>(left.element_size());
  for (int64_t i = 0; i < left.numel(); ++i) {
    const auto offset = static_cast<size_t>(i) * size;
    if (std::memcmp(static_cast<const char*>(left.const_data_ptr()) + offset,
                    static_cast<const char*>(right.const_data_ptr()) + offset, size) != 0)
      return ::testing::AssertionFailure() << "bits differ first at element " << i << " of " << left.numel();
  }
  return ::testing::AssertionSuccess();
}

std::vector<at::Tensor> on_any_threads(const std::function<std::vector<at::Tensor>()>& compute) {
  core::set_num_threads(1);
  const std::vector<at::Tensor> expected = compute();
  for (int threads : {2, 3}) {
    core::set_num_threads(threads);
    const std::vector<at::Tensor> results = compute();
    for (size_t i = 0; i < expected.size(); ++i)
      EXPECT_TRUE(same_bits(results[i], expected[i])) << "result " << i << " with " << threads << " threads";
  }
  core::set_num_threads(1);
  return expected;
}

}  // namespace athanor::kernels::testing
