// The fixed-order sum on a GPU gives the bits that it gives on the host.
#include <numeric>

#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "parallel/ordered_reduction.h"
#include "tests/parallel/mpi_test_main.h"
#include "tests/parallel/test_device.h"

namespace athanor::parallel {
namespace {

TEST(NcclReduction, TheBitsOfTheHost) {
  std::vector<int> everybody(tests::session().size());
  std::iota(everybody.begin(), everybody.end(), 0);
  const auto comm = tests::session().split("ordered", everybody);
  for (const at::ScalarType payload : {at::kFloat, at::kBFloat16}) {
    const ReductionOptions options{
        .payload = payload, .scratch_bytes = 1 << 18, .device_scratch_bytes = 1 << 18};
    OrderedReduction reduction(*comm, options);
    const int64_t count = 100000;
    const at::Tensor in = at::randn({count * comm->size()}) * (1 + comm->rank());
    const at::Tensor expected = at::zeros({count}), out = tests::on_device(at::zeros({count}));
    reduction.reduce_scatter(expected, in).wait();
    reduction.reduce_scatter(out, tests::on_device(in)).wait();
    EXPECT_TRUE(at::equal(tests::on_host(out), expected)) << c10::toString(payload);
    const at::Tensor everything = in.clone(), device = tests::on_device(in);
    reduction.all_reduce(everything);
    reduction.all_reduce(device);
    EXPECT_TRUE(at::equal(tests::on_host(device), everything)) << c10::toString(payload);
  }
}

}  // namespace
}  // namespace athanor::parallel
