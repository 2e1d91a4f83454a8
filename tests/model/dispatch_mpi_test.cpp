// Experts shared out over the ranks of the world against one rank that has them all: outputs and gradients
// have the same bits, whoever sends how many rows to whom.
#include <string>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/rng.h"
#include "model/autograd.h"
#include "model/dispatch.h"
#include "model/functions.h"
#include "model/shared_rows.h"
#include "parallel/mesh.h"
#include "parallel/mesh_communicators.h"
#include "parallel/recording_communicator.h"
#include "parallel/self_communicator.h"
#include "tests/parallel/mpi_test_main.h"

namespace athanor::tests {
namespace {

constexpr int64_t kExperts = 8, kChosen = 2, kHidden = 40, kWidth = 24;

at::Tensor random_values(const std::string& name, std::vector<int64_t> shape) {
  const core::CounterRng rng(11, name);
  at::Tensor values = at::empty(shape, at::kFloat);
  for (int64_t i = 0; i < values.numel(); ++i)
    values.mutable_data_ptr<float>()[i] = static_cast<float>(rng.normal(static_cast<uint64_t>(i)));
  return values;
}

/// What the tokens of a rank choose.
using Choose = int32_t (*)(int64_t rank, int64_t token, int64_t slot);

struct Case {
  const char* name;
  int64_t (*num_tokens)(int64_t rank);
  Choose choose;
};

int64_t some_tokens(int64_t rank) {
  return 9 + 5 * rank;
}

const Case kCases[] = {
    {"scattered", some_tokens,
     [](int64_t rank, int64_t token, int64_t slot) {
       return static_cast<int32_t>((token * 3 + rank + slot * 4 + token / 5) % kExperts);
     }},
    {"all to one expert", some_tokens, [](int64_t, int64_t, int64_t slot) { return slot ? -1 : 5; }},
    {"all to the last rank", some_tokens,
     [](int64_t, int64_t, int64_t slot) { return static_cast<int32_t>(kExperts - 2 + slot); }},
    {"rank 0 has no token", [](int64_t rank) { return rank == 0 ? 0 : some_tokens(rank); },
     [](int64_t, int64_t token, int64_t slot) { return static_cast<int32_t>((token + slot) % kExperts); }},
    {"everything is dropped", some_tokens, [](int64_t, int64_t, int64_t) { return -1; }},
};

/// One rank's tokens: what goes in, and the gradient that comes back.
struct Input {
  at::Tensor x_TD, dy_TD, weights_TA;
  kernels::Permutation permutation;
};

Input input_of(const Case& test, int64_t rank, at::ScalarType dtype) {
  const int64_t tokens = test.num_tokens(rank);
  std::vector<int> ids;
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t a = 0; a < kChosen; ++a) ids.push_back(test.choose(rank, t, a));
  const std::string suffix = std::to_string(rank);
  return {random_values("x" + suffix, {tokens, kHidden}).to(dtype),
          random_values("dy" + suffix, {tokens, kHidden}).to(dtype),
          random_values("weights" + suffix, {tokens, kChosen}),
          kernels::permutation_by_expert(at::tensor(ids, at::kInt).view({tokens, kChosen}), kExperts)};
}

/// Who shares the experts, and who the width of each.
struct Ranks {
  parallel::Communicator &expert, &width;
};

// This rank's part of all experts' matrices.
at::Tensor gate_up_part(const at::Tensor& all_ERD, const Ranks& ranks) {
  const int64_t experts = kExperts / ranks.expert.size(), width = kWidth / ranks.width.size();
  return all_ERD.narrow(0, ranks.expert.rank() * experts, experts)
      .view({experts, 2, kWidth, kHidden})
      .narrow(2, ranks.width.rank() * width, width)
      .reshape({experts, 2 * width, kHidden});
}

at::Tensor down_part(const at::Tensor& all_EDF, const Ranks& ranks) {
  const int64_t experts = kExperts / ranks.expert.size(), width = kWidth / ranks.width.size();
  return all_EDF.narrow(0, ranks.expert.rank() * experts, experts)
      .narrow(2, ranks.width.rank() * width, width)
      .contiguous();
}

model::Parameter parameter_of(const std::string& name, const at::Tensor& value, at::ScalarType dtype) {
  model::Parameter parameter;
  parameter.name = name;
  parameter.value = value.to(dtype);
  parameter.gradient = at::empty(value.sizes(), at::kFloat);
  return parameter;
}

struct Output {
  at::Tensor y_TD, dx_TD, dup, ddown;
};

Output compute(const Input& input, const Ranks& ranks, model::Payload payload) {
  const at::ScalarType dtype = input.x_TD.scalar_type();
  model::Parameter up =
      parameter_of("up", gate_up_part(random_values("up", {kExperts, 2 * kWidth, kHidden}), ranks), dtype);
  model::Parameter down =
      parameter_of("down", down_part(random_values("down", {kExperts, kHidden, kWidth}), ranks), dtype);
  const at::Tensor x_TD = model::as_leaf(input.x_TD);
  const auto rows = std::make_shared<const model::Dispatch>(input.permutation.offsets, x_TD.device(),
                                                            ranks.expert, payload);
  const auto shared = std::make_shared<const model::SharedRows>(rows->groups(), x_TD.device(), ranks.width);
  const at::Tensor x_RD = model::send_to_experts(model::permute(x_TD, input.permutation), rows);
  const at::Tensor x_AD = model::gather_rows(x_RD, shared);
  const at::Tensor h_AF = model::swiglu(model::grouped_linear(x_AD, up, shared->groups()));
  const at::Tensor y_RD = model::sum_rows(model::grouped_linear(h_AF, down, shared->groups()), shared);
  const at::Tensor y_PD = model::send_home(y_RD, rows);
  const at::Tensor y_TD = model::combine(y_PD, input.weights_TA, input.permutation);
  const at::Tensor dx_TD = model::backpropagate({y_TD}, {input.dy_TD}, {x_TD}).front();
  return {y_TD.detach(), dx_TD, up.gradient, down.gradient};
}

Output compute_alone(const Input& input, model::Payload payload) {
  parallel::SelfCommunicator self("alone");
  return compute(input, {self, self}, payload);
}

Output compute_shared(const Input& input, parallel::Communicator& expert, model::Payload payload) {
  parallel::SelfCommunicator self("alone");
  return compute(input, {expert, self}, payload);
}

// The gradients of all experts, by a rank that has them all, from the tokens of every rank: added as the
// reduction over ranks adds them.
std::vector<at::Tensor> summed_gradients(const Case& test, at::ScalarType dtype, model::Payload payload) {
  std::vector<at::Tensor> up, down;
  for (int rank = 0; rank < session().size(); ++rank) {
    const Output alone = compute_alone(input_of(test, rank, dtype), payload);
    up.push_back(alone.dup.view({-1}));
    down.push_back(alone.ddown.view({-1}));
  }
  std::vector<at::Tensor> sums = {at::empty_like(up[0]), at::empty_like(down[0])};
  kernels::ordered_sum(sums[0], up);
  kernels::ordered_sum(sums[1], down);
  return {sums[0].view({kExperts, 2 * kWidth, kHidden}), sums[1].view({kExperts, kHidden, kWidth})};
}

double distance(const at::Tensor& a, const at::Tensor& b) {
  const double norm = b.to(at::kFloat).norm().item<double>();
  return (a - b).to(at::kFloat).norm().item<double>() / (norm > 0 ? norm : 1);
}

void expect_alike(const Case& test, at::ScalarType dtype, model::Payload payload) {
  SCOPED_TRACE(std::string(test.name) + (dtype == at::kFloat ? ", fp32" : ", bf16"));
  parallel::Communicator& world = session().world();
  const Input input = input_of(test, world.rank(), dtype);
  const Output shared = compute_shared(input, world, payload), alone = compute_alone(input, payload);
  EXPECT_TRUE(at::equal(shared.y_TD, alone.y_TD));
  EXPECT_TRUE(at::equal(shared.dx_TD, alone.dx_TD));
  const auto sums = summed_gradients(test, dtype, payload);
  const int64_t count = kExperts / world.size(), first = world.rank() * count;
  EXPECT_TRUE(at::equal(shared.dup, sums[0].narrow(0, first, count)));
  EXPECT_TRUE(at::equal(shared.ddown, sums[1].narrow(0, first, count)));
}

TEST(Dispatch, HasTheBitsOfOneRank) {
  for (const Case& test : kCases)
    for (const auto dtype : {at::kFloat, at::kBFloat16}) expect_alike(test, dtype, model::Payload::kCompute);
}

TEST(Dispatch, ARoundedPayloadIsRoundedOnEveryLayout) {
  for (const Case& test : kCases) {
    expect_alike(test, at::kFloat, model::Payload::kBf16);
    expect_alike(test, at::kFloat, model::Payload::kFp8);
    expect_alike(test, at::kBFloat16, model::Payload::kFp8);
  }
  const Input input = input_of(kCases[0], 0, at::kFloat);
  const at::Tensor exact = compute_alone(input, model::Payload::kCompute).y_TD;
  for (const auto& [payload, error] : {std::pair{model::Payload::kBf16, 0.01}, {model::Payload::kFp8, 0.1}}) {
    const double rounding = distance(compute_alone(input, payload).y_TD, exact);
    EXPECT_GT(rounding, 0);
    EXPECT_LT(rounding, error);
  }
}

TEST(Dispatch, SendsTheBytesOfItsRowsAndCounts) {
  parallel::RecordingCommunicator recorded(session().world());
  const int64_t ranks = recorded.size(), count = kExperts / ranks;
  // In fp8 a row and its scale (kHidden is within one tile) cost half of bf16 and four bytes.
  for (const auto& [dtype, payload, out_bytes, home_bytes] :
       {std::tuple{at::kFloat, model::Payload::kCompute, kHidden * 4, kHidden * 4},
        std::tuple{at::kBFloat16, model::Payload::kCompute, kHidden * 2, kHidden * 2},
        std::tuple{at::kFloat, model::Payload::kBf16, kHidden * 2, kHidden * 2},
        std::tuple{at::kBFloat16, model::Payload::kFp8, kHidden + 4, kHidden * 2}}) {
    const Input input = input_of(kCases[0], recorded.rank(), dtype);
    recorded.reset();
    compute_shared(input, recorded, payload);
    // Rows leave twice, in the forward pass and with the gradient of the way home; the same rows come back
    // twice. This rank sends what it has for others, and returns what others had for it.
    const auto& offsets = input.permutation.offsets;
    const int64_t own_rows = offsets[(recorded.rank() + 1) * count] - offsets[recorded.rank() * count];
    int64_t rows_here = 0;
    for (int r = 0; r < ranks; ++r) {
      const auto from = input_of(kCases[0], r, dtype).permutation.offsets;
      rows_here += from[(recorded.rank() + 1) * count] - from[recorded.rank() * count];
    }
    const int64_t leaving = offsets.back() - own_rows, returning = rows_here - own_rows;
    const parallel::Traffic traffic = recorded.total();
    EXPECT_EQ(traffic.num_calls, ranks == 1 ? 1 : payload == model::Payload::kFp8 ? 7 : 5);
    const int64_t count_bytes = (ranks - 1) * count * 8;
    EXPECT_EQ(traffic.sent_bytes, 2 * (leaving * out_bytes + returning * home_bytes) + count_bytes);
    EXPECT_EQ(traffic.received_bytes, 2 * (returning * out_bytes + leaving * home_bytes) + count_bytes);
  }
}

// Two ranks cut the width, the others share the experts. What a rank's slice sees is whole, so gradients of
// weights keep their bits; outputs and gradients of rows are sums over slices.
TEST(Dispatch, TheWidthOfExpertsMayBeCut) {
  const int ranks = session().size();
  if (ranks == 1) return;
  parallel::MeshCommunicators axes(
      session(), parallel::Mesh({.data = ranks / 2, .expert = ranks / 2, .tensor = 2}, ranks));
  const Ranks shares{axes[parallel::Axis::kExpert], axes[parallel::Axis::kTensor]};
  for (const Case& test : kCases)
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
      SCOPED_TRACE(test.name);
      const Input input = input_of(test, session().rank(), dtype);
      const Output cut = compute(input, shares, model::Payload::kCompute);
      const Output alone = compute_alone(input, model::Payload::kCompute);
      const double tolerance = dtype == at::kFloat ? 1e-6 : 1e-2;
      EXPECT_LT(distance(cut.y_TD, alone.y_TD), tolerance);
      EXPECT_LT(distance(cut.dx_TD, alone.dx_TD), tolerance);
      const auto sums = summed_gradients(test, dtype, model::Payload::kCompute);
      EXPECT_TRUE(at::equal(cut.dup, gate_up_part(sums[0], shares)));
      EXPECT_TRUE(at::equal(cut.ddown, down_part(sums[1], shares)));
    }
}

TEST(Dispatch, RefusesExpertsThatCannotBeSharedOut) {
  if (session().size() == 1) return;
  const std::vector<int64_t> offsets(kExperts + 2, 0);
  EXPECT_THROW(model::Dispatch(offsets, at::kCPU, session().world(), model::Payload::kCompute),
               core::InternalError);
}

}  // namespace
}  // namespace athanor::tests
