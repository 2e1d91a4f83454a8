#include "tests/kernels/tensor_testing.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include "core/rng.h"

namespace athanor::kernels::testing {
namespace {

// ATen's own threads, which only the references use, would spin against ours.
[[maybe_unused]] const bool g_one_aten_thread = (at::set_num_threads(1), true);

}  // namespace

at::Tensor normal(const std::string& name, const std::vector<int64_t>& sizes, at::ScalarType dtype) {
  return random_tensor(sizes, dtype, static_cast<uint32_t>(core::CounterRng(7, name).bits(0)));
}

at::Tensor whole_numbers(const std::string& name, const std::vector<int64_t>& sizes, int64_t bound,
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

std::vector<at::Tensor> on_any_threads(const std::function<std::vector<at::Tensor>()>& compute) {
  std::vector<at::Tensor> expected;
  for_thread_counts([&] {
    const std::vector<at::Tensor> results = compute();
    if (expected.empty()) expected = results;
    for (size_t i = 0; i < expected.size(); ++i)
      EXPECT_TRUE(same_bits(results[i], expected[i])) << "result " << i;
  });
  return expected;
}

}  // namespace athanor::kernels::testing
