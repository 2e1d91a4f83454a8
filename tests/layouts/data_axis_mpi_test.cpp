// What the data axis costs and saves: bytes by the closed formulas of docs/parallelism.md, and the model
// state that a rank holds at each ZeRO stage.
#include <gtest/gtest.h>

#include "parallel/recording_communicator.h"
#include "parallel/self_communicator.h"
#include "tests/layouts/layout_run.h"
#include "tests/parallel/mpi_test_main.h"

namespace athanor::tests {
namespace {

constexpr int64_t kMicroSteps = 2;

// Without a prediction module every group of parameters has one user.
model::ModelSpec plain_model() {
  model::ModelSpec spec = layout_model();
  spec.num_nextn_predict_layers = 0;
  return spec;
}

Harness make(int zero, const HarnessAxes& axes, at::ScalarType dtype = at::kBFloat16) {
  return Harness(plain_model(), {.zero_stage = zero, .compute_dtype = dtype}, axes,
                 [](const model::Parameter&, int64_t, std::span<float> out) {
                   std::fill(out.begin(), out.end(), 0.01f);
                 });
}

std::vector<model::MicroBatch> micro_batches(const model::ModelSpec& spec) {
  const std::vector<int64_t> ids = {1, 2, 3, 4, 5, 6, 7, 8};
  return std::vector<model::MicroBatch>(kMicroSteps, micro_batch(spec, ids, ids, 8));
}

struct Expected {
  int64_t weights = 0, gradients = 0;
};

// Of one step: gathers of weights forward and backward (the last block runs once), reductions of gradients.
Expected expected_bytes(Harness& made, int zero, int64_t ranks, int64_t weight_bytes) {
  Expected expected;
  const auto& slices = made.store->slices();
  const auto last_block = made.model.blocks.back()->parameters();
  for (const auto& slice : slices) {
    const bool runs_once = slice.parameters->front() == last_block.front();
    const int64_t sent = slice.layout->shard_size(static_cast<int>(ranks)) * (ranks - 1);
    if (zero == 3) expected.weights += sent * weight_bytes * kMicroSteps * (runs_once ? 1 : 2);
    if (zero == 1 || zero == 2) expected.weights += sent * weight_bytes;
    expected.gradients += sent * 4 * kMicroSteps;
  }
  return expected;
}

TEST(DataAxis, BytesOfAStepAreThoseOfTheFormulas) {
  parallel::Communicator& world = session().world();
  for (const auto dtype : {at::kFloat, at::kBFloat16})
    for (const int zero : {1, 2, 3}) {
      parallel::RecordingCommunicator recorded(world);
      const HarnessAxes plain = HarnessAxes::replicated(world);
      const HarnessAxes axes{
          .model = {},
          .replicas = {.dense = recorded, .dense_cut = recorded, .expert = recorded, .expert_cut = recorded},
          .step = plain.step};
      Harness made = make(zero, axes, dtype);
      recorded.reset();
      made.step->run(1, micro_batches(made.model.spec));
      const Expected expected = expected_bytes(made, zero, world.size(), dtype == at::kFloat ? 4 : 2);
      EXPECT_EQ(recorded.traffic(parallel::Verb::kAllGather).sent_bytes, expected.weights) << "ZeRO " << zero;
      EXPECT_EQ(recorded.traffic(parallel::Verb::kAllToAll).sent_bytes, expected.gradients)
          << "ZeRO " << zero;
    }
}

int64_t state_bytes(int zero, parallel::Communicator& data) {
  const Harness made = make(zero, HarnessAxes::replicated(data));
  int64_t bytes = made.store->weight_bytes();
  for (const auto& state : made.optimizer->state()) bytes += static_cast<int64_t>(state.values.nbytes());
  return bytes;
}

TEST(DataAxis, EachStageHoldsLess) {
  parallel::Communicator& world = session().world();
  const int64_t whole = state_bytes(0, world), sharded_masters = state_bytes(1, world),
                sharded = state_bytes(3, world);
  if (world.rank() == 0)
    std::printf("%d ranks: model state of a rank: ZeRO 0 %lld bytes, ZeRO 1 %.1f %%, ZeRO 3 %.1f %%\n",
                world.size(), static_cast<long long>(whole),
                100.0 * static_cast<double>(sharded_masters) / static_cast<double>(whole),
                100.0 * static_cast<double>(sharded) / static_cast<double>(whole));
  if (world.size() == 1) {
    EXPECT_EQ(sharded, whole);
  } else {
    EXPECT_LT(sharded_masters, whole);
    EXPECT_LT(sharded, sharded_masters);
  }
  if (world.size() >= 4) {
    EXPECT_LE(static_cast<double>(sharded), 0.3 * static_cast<double>(whole));
  }
}

}  // namespace
}  // namespace athanor::tests
