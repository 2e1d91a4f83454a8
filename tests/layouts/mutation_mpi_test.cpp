// Faults of the kind that layouts have had elsewhere must change what the matrix compares: a norm without one
// rank's experts, a collective left out, two ranks with each other's data.
#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/exact_sum.h"
#include "kernels/ops.h"
#include "parallel/faulty_communicator.h"
#include "tests/layouts/layout_run.h"
#include "tests/parallel/mpi_test_main.h"

namespace athanor::tests {
namespace {

constexpr int64_t kMutatedSteps = 2;

// Makes every call of another communicator, but the norm's: there this rank leaves its experts out.
class NormWithoutExperts final : public parallel::Communicator {
 public:
  explicit NormWithoutExperts(parallel::Communicator& inner) : inner_(inner) {}
  void watch(Harness& made) { made_ = &made; }
  bool has_lied() const { return has_lied_; }

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  const std::string& axis() const override { return inner_.axis(); }
  parallel::Pending all_gather(const at::Tensor& out, const at::Tensor& in) override {
    return inner_.all_gather(out, in);
  }
  parallel::Pending exchange(const std::vector<at::Tensor>& out_pieces,
                             const std::vector<at::Tensor>& in_pieces) override {
    return inner_.exchange(out_pieces, in_pieces);
  }
  parallel::Pending all_reduce(const at::Tensor& data, parallel::ReduceOp op) override {
    if (data.numel() == core::ExactSum::kNumLimbs && rank() == 1) {
      core::ExactSum dense = sum_without_experts();
      std::ranges::copy(dense.limbs(), data.mutable_data_ptr<int64_t>());
      has_lied_ = true;
    }
    return inner_.all_reduce(data, op);
  }
  parallel::Pending broadcast(const at::Tensor& data, int root) override {
    return inner_.broadcast(data, root);
  }
  parallel::Pending send(const at::Tensor& data, int to, int tag) override {
    return inner_.send(data, to, tag);
  }
  parallel::Pending recv(const at::Tensor& data, int from, int tag) override {
    return inner_.recv(data, from, tag);
  }
  void barrier() override { inner_.barrier(); }

 private:
  core::ExactSum sum_without_experts() {
    core::ExactSum sum;
    const auto shards = made_->store->gradient_shards();
    for (size_t i = 0; i < shards.size(); ++i) {
      if (made_->store->slices()[i].parameters->front()->is_expert) continue;
      const at::Tensor squares = at::empty({shards[i].numel() / kernels::kFlatAlignment}, at::kDouble);
      kernels::chunk_square_sums(squares, shards[i]);
      for (int64_t c = 0; c < squares.numel(); ++c) sum.add(squares.const_data_ptr<double>()[c]);
    }
    return sum;
  }

  parallel::Communicator& inner_;
  Harness* made_ = nullptr;
  bool has_lied_ = false;
};

// Experts in pairs where there are ranks for it, all data parallel.
LayoutCase layout() {
  const int ranks = session().size();
  return {.degrees = {.data = ranks, .expert = ranks >= 4 ? 2 : 1}, .zero = 3};
}

// One for all tests: a session has room for so many communicators.
parallel::MeshCommunicators& shared_axes() {
  static parallel::MeshCommunicators axes(session(), parallel::Mesh(layout().degrees, session().size()));
  return axes;
}

class Mutation : public testing::Test {
 protected:
  LayoutTrace run(const HarnessAxes& axes, const LayoutRunOptions& options) {
    return run_layout(layout(), axes, session().world(), options);
  }
  parallel::MeshCommunicators& axes_ = shared_axes();
};

TEST_F(Mutation, RunsAgreeWithoutOne) {
  const LayoutTrace trace = run(HarnessAxes::of(axes_), {.num_steps = kMutatedSteps});
  if (session().rank() == 0) {
    EXPECT_EQ(trace.steps, run_alone(at::kFloat, kMutatedSteps).steps);
  }
}

TEST_F(Mutation, ANormWithoutOneRanksExpertsIsSeen) {
  if (session().size() == 1) return;
  NormWithoutExperts token(axes_[parallel::Axis::kToken]);
  HarnessAxes axes = HarnessAxes::of(axes_);
  const HarnessAxes lying{
      .model = axes.model, .replicas = axes.replicas, .step = {.data = axes.step.data, .token = token}};
  const LayoutTrace trace =
      run(lying, {.num_steps = kMutatedSteps, .prepare = [&](Harness& made) { token.watch(made); }});
  EXPECT_EQ(token.has_lied(), session().rank() == 1);
  if (session().rank() == 0) {
    EXPECT_NE(trace.steps, run_alone(at::kFloat, kMutatedSteps).steps);
  }
}

TEST_F(Mutation, TwoRanksWithEachOthersDataAreSeen) {
  if (session().size() < 4) return;  // the sum of two is the same either way
  const auto swapped = [](int64_t i, int64_t rank, int64_t size) {
    const int64_t other = rank == 1 ? 2 : rank == 2 ? 1 : rank;
    return i * size + other;
  };
  const LayoutTrace trace = run(HarnessAxes::of(axes_), {.num_steps = kMutatedSteps, .assignment = swapped});
  if (session().rank() == 0) {
    EXPECT_NE(trace.steps, run_alone(at::kFloat, kMutatedSteps).steps);
  }
}

// With the axis over which dense gradients are summed replaced.
HarnessAxes with_dense(const HarnessAxes& axes, parallel::Communicator& dense) {
  return {.model = axes.model,
          .replicas = {.dense = dense,
                       .dense_cut = axes.replicas.dense_cut,
                       .expert = axes.replicas.expert,
                       .expert_cut = axes.replicas.expert_cut},
          .step = axes.step};
}

// Every rank leaves out one exchange of gradients: nobody waits for anybody, and the bits are others.
TEST_F(Mutation, AGradientExchangeThatEverybodyLeavesOutIsSeen) {
  if (session().size() == 1) return;
  parallel::Communicator& token = axes_[parallel::Axis::kToken];
  const HarnessAxes axes = HarnessAxes::of(axes_);
  parallel::FaultyCommunicator counting(token, {});
  run(with_dense(axes, counting), {.num_steps = 1});
  std::vector<parallel::Fault> faults;
  for (int64_t call = counting.num_calls() - 3; call < counting.num_calls(); ++call)
    faults.push_back({.kind = parallel::Fault::Kind::kSkip, .call = call});
  parallel::FaultyCommunicator skipping(token, faults);
  const LayoutTrace trace = run(with_dense(axes, skipping), {.num_steps = kMutatedSteps});
  if (session().rank() == 0) {
    EXPECT_NE(trace.steps, run_alone(at::kFloat, kMutatedSteps).steps);
  }
}

// The others wait for it in vain, or it comes to the next call while they are still in this one: every rank
// ends with an error that names the axis.
TEST_F(Mutation, ACallThatOneRankLeavesOutEndsTheRun) {
  if (session().size() == 1) return;
  session().set_timeout(1);
  parallel::MeshCommunicators impatient(session(), parallel::Mesh(layout().degrees, session().size()));
  session().set_timeout(20);
  std::vector<parallel::Fault> faults;
  if (session().rank() == 1) faults.push_back({.kind = parallel::Fault::Kind::kSkip, .call = 5});
  parallel::FaultyCommunicator skipping(impatient[parallel::Axis::kToken], faults);
  std::string error;
  try {
    run(with_dense(HarnessAxes::of(impatient), skipping), {.num_steps = 1});
  } catch (const core::CommError& caught) {
    error = caught.what();
  }
  EXPECT_NE(error.find("on axis"), std::string::npos) << "rank " << session().rank() << ": " << error;
  session().world().barrier();
}

}  // namespace
}  // namespace athanor::tests
