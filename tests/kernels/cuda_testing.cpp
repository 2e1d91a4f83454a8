#include "tests/kernels/cuda_testing.h"

#include <cstdio>
#include <limits>

#include <ATen/ops/full.h>

#include "core/error.h"
#include "kernels/cuda_plugin.h"

namespace athanor::kernels::testing {
namespace {

struct Row {
  std::string what, dtype;
  size_t output;
  double relative_error, largest_error, tolerance;
  bool is_repeatable;

  bool is_good() const { return relative_error <= tolerance && is_repeatable; }  // NaN is not
};

void print(const Row& row) {
  std::printf("%-58s %-8s %2zu  %9.2e  %9.2e  %9.2e  %s%s\n", row.what.c_str(), row.dtype.c_str(), row.output,
              row.relative_error, row.largest_error, row.tolerance, row.is_good() ? "ok" : "FAILED",
              row.is_repeatable ? "" : " (the second run gave other bits)");
}

/// Opens the GPU before anything else, and prints the table after everything else.
class Gpu : public ::testing::Environment {
 public:
  void SetUp() override {
    try {
      device_ = open_cuda_device(0);
    } catch (const core::ConfigError& error) {
      FAIL() << "these tests need a GPU: " << error.what();
    }
  }
  void TearDown() override {
    std::printf("\n%-58s %-8s %2s  %9s  %9s  %9s\n", "operation", "dtype", "#", "relative", "max abs",
                "allowed");
    for (const Row& row : rows) print(row);
    size_t num_failed = 0;
    for (const Row& row : rows) num_failed += !row.is_good();
    std::printf("%zu comparisons, %zu failed\n", rows.size(), num_failed);
  }

  at::Device device() const { return device_; }
  std::vector<Row> rows;

 private:
  at::Device device_ = at::kCPU;
};

// GoogleTest owns it.
Gpu* const g_gpu = static_cast<Gpu*>(::testing::AddGlobalTestEnvironment(new Gpu));

bool is_whole(const at::Tensor& tensor) {
  return !tensor.is_floating_point();
}

Row measured(const at::Tensor& out, const at::Tensor& expected, double typical) {
  Row row{};
  const at::Tensor difference = out.to(at::kDouble) - expected.to(at::kDouble);
  const double norm = std::max(expected.to(at::kDouble).norm().item<double>(),
                               typical * std::sqrt(static_cast<double>(expected.numel())));
  row.relative_error = difference.numel() == 0 ? 0.0 : difference.norm().item<double>() / norm;
  row.largest_error = difference.numel() == 0 ? 0.0 : difference.abs().max().item<double>();
  return row;
}

Tensors on_host(const Tensors& outputs) {
  synchronize(gpu());
  Tensors copies;
  for (const at::Tensor& output : outputs) copies.push_back(output.cpu());
  return copies;
}

}  // namespace

at::Device gpu() {
  return g_gpu->device();
}

at::Tensor on_gpu(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.to(gpu()) : tensor;
}

at::Tensor poisoned(at::IntArrayRef sizes, at::ScalarType dtype) {
  const auto options = at::TensorOptions().dtype(dtype).device(gpu());
  return c10::isFloatingType(dtype) ? at::full(sizes, std::numeric_limits<double>::quiet_NaN(), options)
                                    : at::full(sizes, -7, options);
}

void compare(const std::string& what, at::ScalarType dtype, double tolerance,
             const std::function<Tensors()>& run, const Tensors& expected, double typical) {
  SCOPED_TRACE(what);
  const Tensors first = on_host(run()), second = on_host(run());
  ASSERT_EQ(first.size(), expected.size());
  for (size_t i = 0; i < first.size(); ++i) {
    ASSERT_EQ(first[i].sizes(), expected[i].sizes()) << "output " << i;
    Row row = measured(first[i], expected[i], typical);
    row.what = what;
    row.dtype = c10::toString(dtype);
    row.output = i;
    row.tolerance = is_whole(first[i]) ? kExact : tolerance;
    row.is_repeatable = same_bits(first[i], second[i]);
    g_gpu->rows.push_back(row);
    EXPECT_TRUE(row.is_good()) << row.dtype << " output " << i << ": relative error " << row.relative_error
                               << ", largest " << row.largest_error << ", allowed " << row.tolerance
                               << (row.is_repeatable ? "" : "; the second run gave other bits");
  }
}

}  // namespace athanor::kernels::testing
