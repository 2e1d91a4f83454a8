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

model::Parameter experts(const std::string& name, int64_t first, int64_t count, int64_t rows, int64_t columns,
                         at::ScalarType dtype) {
  model::Parameter parameter;
  parameter.name = name;
  parameter.value = random_values(name, {kExperts, rows, columns}).narrow(0, first, count).to(dtype);
  parameter.gradient = at::empty({count, rows, columns}, at::kFloat);
  return parameter;
}

struct Output {
  at::Tensor y_TD, dx_TD, dup, ddown;
};

Output compute(const Input& input, parallel::Communicator& comm, model::Payload payload) {
  const at::ScalarType dtype = input.x_TD.scalar_type();
  const int64_t count = kExperts / comm.size(), first = comm.rank() * count;
  model::Parameter up = experts("up", first, count, 2 * kWidth, kHidden, dtype),
                   down = experts("down", first, count, kHidden, kWidth, dtype);
  const at::Tensor x_TD = model::as_leaf(input.x_TD);
  const auto rows =
      std::make_shared<const model::Dispatch>(input.permutation.offsets, x_TD.device(), comm, payload);
  const at::Tensor x_RD = model::send_to_experts(model::permute(x_TD, input.permutation), rows);
  const at::Tensor h_RF = model::swiglu(model::grouped_linear(x_RD, up, rows->groups()));
  const at::Tensor y_PD = model::send_home(model::grouped_linear(h_RF, down, rows->groups()), rows);
  const at::Tensor y_TD = model::combine(y_PD, input.weights_TA, input.permutation);
  const at::Tensor dx_TD = model::backpropagate({y_TD}, {input.dy_TD}, {x_TD}).front();
  return {y_TD.detach(), dx_TD, up.gradient, down.gradient};
}

// The gradients of all experts, by a rank that has them all, from the tokens of every rank: added as the
// reduction over ranks adds them.
std::vector<at::Tensor> summed_gradients(const Case& test, at::ScalarType dtype, model::Payload payload) {
  parallel::SelfCommunicator self("alone");
  std::vector<at::Tensor> up, down;
  for (int rank = 0; rank < session().size(); ++rank) {
    const Output alone = compute(input_of(test, rank, dtype), self, payload);
    up.push_back(alone.dup.view({-1}));
    down.push_back(alone.ddown.view({-1}));
  }
  std::vector<at::Tensor> sums = {at::empty_like(up[0]), at::empty_like(down[0])};
  kernels::ordered_sum(sums[0], up);
  kernels::ordered_sum(sums[1], down);
  return {sums[0].view({kExperts, 2 * kWidth, kHidden}), sums[1].view({kExperts, kHidden, kWidth})};
}

void expect_alike(const Case& test, at::ScalarType dtype, model::Payload payload) {
  SCOPED_TRACE(std::string(test.name) + (dtype == at::kFloat ? ", fp32" : ", bf16"));
  parallel::Communicator& world = session().world();
  parallel::SelfCommunicator self("alone");
  const Input input = input_of(test, world.rank(), dtype);
  const Output shared = compute(input, world, payload), alone = compute(input, self, payload);
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
  for (const Case& test : kCases) expect_alike(test, at::kFloat, model::Payload::kBf16);
  parallel::SelfCommunicator self("alone");
  const Input input = input_of(kCases[0], 0, at::kFloat);
  EXPECT_FALSE(at::equal(compute(input, self, model::Payload::kBf16).y_TD,
                         compute(input, self, model::Payload::kCompute).y_TD));
}

TEST(Dispatch, SendsTheBytesOfItsRowsAndCounts) {
  parallel::RecordingCommunicator recorded(session().world());
  const int64_t ranks = recorded.size(), count = kExperts / ranks;
  for (const auto& [dtype, payload, row_bytes] :
       {std::tuple{at::kFloat, model::Payload::kCompute, kHidden * 4},
        std::tuple{at::kBFloat16, model::Payload::kCompute, kHidden * 2},
        std::tuple{at::kFloat, model::Payload::kBf16, kHidden * 2}}) {
    const Input input = input_of(kCases[0], recorded.rank(), dtype);
    recorded.reset();
    compute(input, recorded, payload);
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
    EXPECT_EQ(traffic.num_calls, ranks > 1 ? 5 : 1);
    EXPECT_EQ(traffic.sent_bytes, 2 * (leaving + returning) * row_bytes + (ranks - 1) * count * 8);
    EXPECT_EQ(traffic.received_bytes, traffic.sent_bytes);
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
