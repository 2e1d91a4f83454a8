// The norm has one value, whatever the layout; every rank has it, and every rank knows when it is not finite.
#include <bit>
#include <cmath>
#include <limits>

#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "core/exact_sum.h"
#include "kernels/ops.h"
#include "optim/gradient_norm.h"
#include "parallel/flat_layout.h"
#include "parallel/mesh_communicators.h"
#include "parallel/self_communicator.h"
#include "tests/parallel/mpi_test_main.h"

namespace athanor::optim {
namespace {

using tests::session;

/// A gradient of 24 parameters of odd sizes in one flat buffer, values of very different size; alike on every
/// rank.
struct Example {
  parallel::FlatLayout layout;
  at::Tensor flat;
};

Example example() {
  std::vector<parallel::NamedShape> shapes;
  for (int i = 0; i < 24; ++i) shapes.push_back({fmt::format("p{}", i), {37 * i + 1, 11}});
  Example made{parallel::FlatLayout(shapes), {}};
  made.flat = at::zeros({made.layout.padded_size(8)});
  uint64_t state = 1;
  for (const auto& parameter : made.layout.parameters())
    for (int64_t i = 0; i < parameter.num_elements; ++i) {
      state = state * 6364136223846793005ull + 1442695040888963407ull;
      made.flat.mutable_data_ptr<float>()[parameter.begin + i] =
          std::ldexp(static_cast<float>(state >> 40), -40 + static_cast<int>(state >> 20 & 31));
    }
  return made;
}

uint64_t bits(double value) {
  return std::bit_cast<uint64_t>(value);
}

at::Tensor shard_of(const at::Tensor& flat, int64_t size, int64_t idx) {
  return flat.narrow(0, idx * size, size);
}

TEST(GradientNorm, HasTheSameBitsOnEveryLayout) {
  const Example made = example();
  parallel::SelfCommunicator self("alone");
  const double alone = global_gradient_norm({made.flat}, {&self}).value;
  const double naive =
      std::sqrt((made.flat.to(at::kDouble) * made.flat.to(at::kDouble)).sum().item<double>());
  EXPECT_NEAR(alone, naive, 1e-12 * naive);
  const int n = session().size();
  const int64_t size = made.layout.shard_size(n);
  EXPECT_EQ(
      bits(global_gradient_norm({shard_of(made.flat, size, session().rank())}, {&session().world()}).value),
      bits(alone));
}

TEST(GradientNorm, MayBeSummedAlongOneAxisAfterTheOther) {
  const int n = session().size();
  if (n < 4) return;  // two axes need four ranks
  const Example made = example();
  parallel::SelfCommunicator self("alone");
  const parallel::Mesh mesh({.pipeline = 2, .data = n / 2}, n);
  parallel::MeshCommunicators axes(session(), mesh);
  // Half of the buffer lives on each pipeline stage; each half is shared by the ranks of a stage, in two
  // slices each.
  const int64_t half = made.flat.numel() / 2, size = half / (n / 2), unit = kernels::kFlatAlignment;
  const int64_t begin = mesh.index(parallel::Axis::kPipeline, session().rank()) * half +
                        mesh.index(parallel::Axis::kReplica, session().rank()) * size;
  ASSERT_EQ(size % unit, 0);
  const auto norm =
      global_gradient_norm({made.flat.narrow(0, begin, unit), made.flat.narrow(0, begin + unit, size - unit)},
                           {&axes[parallel::Axis::kReplica], &axes[parallel::Axis::kPipeline]});
  EXPECT_EQ(bits(norm.value), bits(global_gradient_norm({made.flat}, {&self}).value));
}

TEST(GradientNorm, WhatIsNotFiniteAnywhereIsKnownEverywhere) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const at::Tensor slice = at::full({1000}, 0.5f);
    if (session().rank() == session().size() - 1) slice.mutable_data_ptr<float>()[999] = bad;
    EXPECT_FALSE(global_gradient_norm({slice}, {&session().world()}).is_finite());
  }
  EXPECT_TRUE(global_gradient_norm({at::full({1000}, 1e30f)}, {&session().world()}).is_finite());
}

TEST(GradientNorm, OfNothingIsZero) {
  EXPECT_EQ(global_gradient_norm({}, {&session().world()}).value, 0);
  EXPECT_EQ(global_gradient_norm({at::zeros({0})}, {&session().world()}).value, 0);
}

}  // namespace
}  // namespace athanor::optim
