// Expert parallelism changes who computes, not what: loss, gradient norm, weights and moments have the same
// bits at every step as on one rank, whatever the expert degree, the ZeRO stage and the number of micro
// batches a rank takes.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/digest.h"
#include "parallel/mesh.h"
#include "parallel/mesh_communicators.h"
#include "parallel/self_communicator.h"
#include "tests/parallel/mpi_test_main.h"
#include "tests/trainer/tiny_run.h"

namespace athanor::tests {
namespace {

using Trace = std::vector<std::string>;  // one line per step

Trace run(const HarnessOptions& options, const HarnessAxes& axes, parallel::Communicator& world) {
  const model::ModelSpec spec = tiny_moe();
  Harness made(spec, options, axes, tiny_weights);
  Trace trace;
  for (int64_t step = 0; step < kTinySteps; ++step)
    trace.push_back(step_line(made, made.step->run(step + 1, tiny_share(spec, step, axes.step.data)), world));
  return trace;
}

/// The reference: one rank with everything. Only rank 0 needs it.
Trace run_alone(const HarnessOptions& options) {
  parallel::SelfCommunicator self("alone");
  return run(options, HarnessAxes::replicated(self), self);
}

struct Layout {
  int expert, zero;
  trainer::Recompute recompute = trainer::Recompute::kNone;
};

// Every degree that divides the world, each with another stage.
std::vector<Layout> layouts(int num_ranks) {
  std::vector<Layout> all;
  for (int expert = 1, zero = 3; expert <= num_ranks; expert *= 2, zero = (zero + 3) % 4)
    all.push_back({expert, zero, zero % 2 ? trainer::Recompute::kFull : trainer::Recompute::kNone});
  all.push_back({num_ranks, 3});
  return all;
}

class ExpertLayout : public testing::TestWithParam<at::ScalarType> {};

TEST_P(ExpertLayout, HasTheBitsOfOneRank) {
  parallel::Communicator& world = session().world();
  Trace alone;
  if (world.rank() == 0) {
    alone = run_alone(tiny_options(0, GetParam(), trainer::Recompute::kNone));
    EXPECT_NE(alone.front(), alone.back());
  }
  for (const Layout& layout : layouts(world.size())) {
    parallel::MeshCommunicators axes(session(),
                                     parallel::Mesh({.data = 0, .expert = layout.expert}, world.size()));
    const Trace trace =
        run(tiny_options(layout.zero, GetParam(), layout.recompute), HarnessAxes::of(axes), world);
    if (world.rank() != 0) continue;
    for (size_t step = 0; step < trace.size(); ++step)
      ASSERT_EQ(trace[step], alone[step])
          << "expert " << layout.expert << ", ZeRO " << layout.zero << ", step " << step;
    std::printf("data %d, expert %d, ZeRO %d, %s: %s\n", world.size(), layout.expert, layout.zero,
                GetParam() == at::kFloat ? "fp32" : "bf16",
                core::digest_hex(std::string_view(trace.back())).c_str());
  }
}

INSTANTIATE_TEST_SUITE_P(Precision, ExpertLayout, testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& test) { return test.param == at::kFloat ? "fp32" : "bf16"; });

}  // namespace
}  // namespace athanor::tests
