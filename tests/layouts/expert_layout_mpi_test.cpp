// Expert parallelism beyond the layout matrix: capacity, rounded payloads, ranks without a token, checkpoints
// that move between expert degrees, what a rank holds, and what travels.
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "checkpoints/checkpoint_directory.h"
#include "checkpoints/checkpoint_reader.h"
#include "checkpoints/checkpoint_writer.h"
#include "core/file_system.h"
#include "model/initialise.h"
#include "parallel/recording_communicator.h"
#include "parallel/self_communicator.h"
#include "tests/layouts/layout_run.h"
#include "tests/parallel/mpi_test_main.h"
#include "trainer/text_broadcast.h"
#include "trainer/training_state.h"

namespace athanor::tests {
namespace {

using model::CapacityPolicy;
using model::Payload;
using trainer::Recompute;

parallel::MeshCommunicators& mesh_of(int expert, int tensor = 1) {
  static std::map<std::pair<int, int>, std::unique_ptr<parallel::MeshCommunicators>> made;
  auto& axes = made[{expert, tensor}];
  if (!axes)
    axes = std::make_unique<parallel::MeshCommunicators>(
        session(), parallel::Mesh({.data = 0, .expert = expert, .tensor = tensor}, session().size()));
  return *axes;
}

LayoutTrace run_shared(const LayoutCase& layout, const LayoutRunOptions& options) {
  return run_layout(layout, HarnessAxes::of(mesh_of(layout.degrees.expert)), session().world(), options);
}

/// The same on one rank, ZeRO 0 and nothing computed twice.
LayoutTrace run_reference(const LayoutCase& layout, const LayoutRunOptions& options) {
  parallel::SelfCommunicator self("alone");
  return run_layout({.dtype = layout.dtype, .experts = layout.experts}, HarnessAxes::replicated(self), self,
                    options);
}

void expect_same_steps(const LayoutCase& layout, const LayoutRunOptions& options) {
  const LayoutTrace shared = run_shared(layout, options);
  if (session().rank() != 0) return;
  const LayoutTrace alone = run_reference(layout, options);
  ASSERT_EQ(shared.steps.size(), alone.steps.size());
  for (size_t step = 0; step < alone.steps.size(); ++step)
    EXPECT_EQ(shared.steps[step], alone.steps[step]) << layout.name() << ", step " << step;
  const bool may_drop = layout.experts.capacity.factor > 0;
  EXPECT_EQ(alone.steps.front().dropped_share > 0, may_drop) << layout.name();
}

TEST(ExpertLayout, CapacityAndPayloadsHaveTheBitsOfOneRank) {
  const int ranks = session().size();
  const LayoutCase cases[] = {
      {.zero = 1, .experts = {.capacity = {.factor = 1}}},
      {.zero = 3,
       .dtype = at::kBFloat16,
       .experts = {.capacity = {.factor = 0.7, .policy = CapacityPolicy::kScore}}},
      {.zero = 2, .recompute = Recompute::kFull, .experts = {.payload = Payload::kBf16}},
      {.zero = 3,
       .recompute = Recompute::kFull,
       .dtype = at::kBFloat16,
       .experts = {.payload = Payload::kFp8}},
  };
  for (LayoutCase layout : cases) {
    layout.degrees.expert = ranks;
    expect_same_steps(layout, {.num_steps = 2});
  }
}

// The router's bias decides alone: every token of every rank chooses experts 0 and 1.
void choose_the_first_two(Harness& made) {
  for (model::Buffer* buffer : model::all_buffers(made.model)) {
    buffer->value.narrow(0, 0, 2).fill_(10);
    buffer->value.narrow(0, 2, buffer->value.size(0) - 2).fill_(-10);
  }
}

TEST(ExpertLayout, RanksWithoutTokensAreOrdinary) {
  for (const auto dtype : {at::kFloat, at::kBFloat16})
    expect_same_steps({.degrees = {.expert = session().size()},
                       .zero = 3,
                       .recompute = dtype == at::kFloat ? Recompute::kFull : Recompute::kNone,
                       .dtype = dtype},
                      {.num_steps = 2, .prepare = choose_the_first_two});
}

// ---- checkpoints
// ---------------------------------------------------------------------------------------------------

const trainer::RunIdentity kIdentity{.model_config = "{}"};

trainer::TrainingState state_of(Harness& made) {
  return {made.model, *made.store, *made.optimizer};
}

void save(Harness& made, const std::string& directory, int64_t step) {
  parallel::Communicator& world = session().world();
  checkpoints::CheckpointWriter writer({.directory = directory,
                                        .run_id = "run",
                                        .start_id = trainer::broadcast_text(checkpoints::make_id(), world),
                                        .rank = world.rank(),
                                        .num_ranks = world.size()});
  const trainer::RunCounters counters{.step = step, .optimizer_steps = made.optimizer->num_steps()};
  const auto state = trainer::make_snapshot(state_of(made), counters, kIdentity, "", world.rank() == 0);
  writer.save(state.snapshot, checkpoints::IfBusy::kWait);
  writer.wait();
  world.barrier();
}

void load(Harness& made, const std::string& directory, int64_t step) {
  const checkpoints::CheckpointReader reader(
      core::posix_file_system(), directory + "/" + checkpoints::checkpoint_name(static_cast<uint64_t>(step)));
  trainer::TrainingState state = state_of(made);
  trainer::restore(reader, state, kIdentity);
}

TEST(ExpertLayout, CheckpointsMoveBetweenDegrees) {
  const int ranks = session().size();
  const std::string directory = ATHANOR_BINARY_DIR "/expert_layout_checkpoints_" + std::to_string(ranks);
  if (session().rank() == 0) std::filesystem::remove_all(directory);
  session().world().barrier();
  // All ranks, one rank, all ranks: two steps each, at another ZeRO stage.
  LayoutTrace joined;
  int zero = 3;
  for (const int expert : {ranks, 1, ranks}) {
    const auto step = static_cast<int64_t>(joined.steps.size());
    const LayoutTrace part =
        run_shared({.degrees = {.expert = expert}, .zero = zero--, .dtype = at::kBFloat16},
                   {.first_step = step,
                    .num_steps = 2,
                    .prepare =
                        [&](Harness& made) {
                          if (step > 0) load(made, directory, step);
                        },
                    .finish = [&](Harness& made) { save(made, directory, step + 2); }});
    joined.steps.insert(joined.steps.end(), part.steps.begin(), part.steps.end());
  }
  if (session().rank() != 0) return;
  std::filesystem::remove_all(directory);
  const LayoutTrace straight = run_reference({.dtype = at::kBFloat16}, {.num_steps = 6});
  for (size_t step = 0; step < straight.steps.size(); ++step)
    EXPECT_EQ(joined.steps[step], straight.steps[step]) << step;
}

// ---- memory and traffic
// ---------------------------------------------------------------------------------------------------

Harness make(const HarnessAxes& axes, Recompute recompute = Recompute::kNone) {
  return Harness(layout_model(), {.zero_stage = 0, .compute_dtype = at::kBFloat16, .recompute = recompute},
                 axes, [](const model::Parameter& parameter, int64_t begin, std::span<float> out) {
                   model::initialise(parameter, 0.05, 42, begin, out);
                 });
}

// Elements of experts that this rank keeps weights, masters and moments for.
int64_t expert_elements(const Harness& made) {
  int64_t sum = 0;
  for (const auto& slice : made.store->slices())
    if (slice.parameters->front()->is_expert)
      for (const model::Parameter* parameter : *slice.parameters) sum += parameter->num_elements();
  return sum;
}

TEST(ExpertLayout, ARankHoldsItsShareOfTheExperts) {
  const int64_t all = expert_elements(make(HarnessAxes::of(mesh_of(1))));
  for (int expert = 2; expert <= session().size(); expert *= 2)
    EXPECT_EQ(expert_elements(make(HarnessAxes::of(mesh_of(expert)))) * expert, all) << expert;
}

// Two tensor ranks cut the width of the experts, which the others share out.
TEST(ExpertLayout, TheWidthOfExpertsMayBeCut) {
  const int ranks = session().size();
  HarnessAxes axes = HarnessAxes::of(mesh_of(ranks / 2, 2));
  axes.model.expert_width = axes.model.tensor;
  EXPECT_EQ(expert_elements(make(axes)) * ranks, expert_elements(make(HarnessAxes::of(mesh_of(1)))));

  const LayoutRunOptions options{.num_steps = 3};
  const LayoutTrace cut = run_layout({.degrees = {.expert = ranks / 2, .tensor = 2}, .zero = 3}, axes,
                                     session().world(), options);
  if (session().rank() != 0) return;
  const LayoutTrace alone = run_reference({}, options);
  for (size_t step = 0; step < alone.steps.size(); ++step) {
    EXPECT_NEAR(cut.steps[step].loss / alone.steps[step].loss, 1, 1e-5) << step;
    EXPECT_NEAR(cut.steps[step].mtp_loss / alone.steps[step].mtp_loss, 1, 1e-5) << step;
    EXPECT_NEAR(cut.steps[step].grad_norm / alone.steps[step].grad_norm, 1, 1e-5) << step;
  }
}

// Choices of this rank's tokens whose expert lies on another rank, over all layers.
int64_t leaving_rows(const model::PassContext& pass, const parallel::Communicator& expert) {
  int64_t sum = 0;
  for (const auto& counts : pass.expert_tokens)
    for (size_t e = 0; e < counts.size(); ++e)
      if (static_cast<int64_t>(e) / (static_cast<int64_t>(counts.size()) / expert.size()) != expert.rank())
        sum += counts[e];
  return sum;
}

int64_t sum_over_world(int64_t value) {
  const at::Tensor sum = at::tensor({value}, at::kLong);
  session().world().all_reduce(sum, parallel::ReduceOp::kSum).wait();
  return *sum.const_data_ptr<int64_t>();
}

// The formula of docs/parallelism.md.
TEST(ExpertLayout, TrafficOnTheExpertAxisIsThatOfTheFormula) {
  for (const Recompute recompute : {Recompute::kNone, Recompute::kFull}) {
    HarnessAxes axes = HarnessAxes::of(mesh_of(session().size()));
    parallel::RecordingCommunicator recorded(*axes.model.expert);
    axes.model.expert = &recorded;
    Harness made = make(axes, recompute);
    const auto length = 16 + 4 * static_cast<int64_t>(session().rank());
    std::vector<int64_t> ids;
    for (int64_t t = 0; t < length; ++t) ids.push_back((t * t + session().rank()) % 100);
    const model::MicroBatch batch = micro_batch(made.model.spec, ids, ids, length);
    model::PassContext pass = model::make_pass(made.model, batch);
    pass.loss_scale.assign(2, 1.0);
    made.executor->forward_backward(pass);
    made.store->finish_micro_batch();

    const model::ModelSpec& spec = made.model.spec;
    const int64_t passes = recompute == Recompute::kNone ? 2 : 3;  // forward, backward, forward again
    const int64_t counts = 8 * (spec.n_routed_experts - spec.n_routed_experts / recorded.size());
    const int64_t expected =
        passes * 2 * sum_over_world(leaving_rows(pass, recorded)) * spec.hidden_size * 2 +
        (passes - 1) * made.model.num_moe_layers * counts * session().size();
    EXPECT_EQ(sum_over_world(recorded.total().sent_bytes), expected);
    EXPECT_EQ(sum_over_world(recorded.total().received_bytes), expected);
  }
}

}  // namespace
}  // namespace athanor::tests
