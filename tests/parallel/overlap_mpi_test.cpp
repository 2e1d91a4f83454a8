// With a driver, data arrives while no rank is inside the library.
#include <chrono>
#include <thread>

#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "parallel/ordered_reduction.h"
#include "tests/parallel/mpi_test_main.h"

namespace athanor::tests {

void adjust_session(parallel::SessionOptions& options) {
  options.overlap = parallel::Overlap::kOn;
}

namespace {

constexpr int64_t kElements = int64_t{1} << 20;  // 4 MiB: far beyond what a library sends unasked

at::Tensor filled(float value) {
  return at::full({kElements}, value, at::kFloat);
}

// Looks at memory only, for ten seconds at most.
bool arrives(const at::Tensor& place, float value) {
  const volatile float* data = place.const_data_ptr<float>();
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (std::chrono::steady_clock::now() < give_up) {
    if (data[0] == value && data[place.numel() - 1] == value) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

TEST(Overlap, TheSessionSaysSo) {
  EXPECT_TRUE(session().overlaps());
}

TEST(Overlap, WeightsArriveWithoutAWait) {
  parallel::Communicator& world = session().world();
  const at::Tensor all = at::zeros({world.size() * kElements}, at::kFloat);
  parallel::Pending gather = world.all_gather(all, filled(static_cast<float>(world.rank() + 1)));
  for (int r = 0; r < world.size(); ++r)
    EXPECT_TRUE(arrives(all.narrow(0, r * kElements, kElements), static_cast<float>(r + 1))) << "rank " << r;
  gather.wait();
  world.barrier();
}

TEST(Overlap, AReductionIsDoneWithoutAWait) {
  parallel::Communicator& world = session().world();
  parallel::OrderedReduction reduction(world, {.scratch_bytes = int64_t{64} << 20, .chunks_in_flight = 15});
  const at::Tensor sum = at::zeros({kElements / world.size()}, at::kFloat);
  parallel::Pending pending = reduction.reduce_scatter(sum, filled(1));
  world.barrier();
  // All of it is in flight, so nothing but looking is left to do.
  for (int i = 0; i < 5000 && !pending.done(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  EXPECT_TRUE(pending.done());
  pending.wait();
  EXPECT_TRUE(arrives(sum, static_cast<float>(world.size())));
  world.barrier();
}

}  // namespace
}  // namespace athanor::tests
