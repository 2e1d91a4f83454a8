// The matrix of layouts: every one must train the model that one rank trains. Layouts that differ in data,
// expert, ZeRO, recomputation or accumulation have the same bits; tensor layouts agree within 1e-5 (fp32),
// and so does `reproducible: fast`, where the order of sums is the layout's.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <tuple>

#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "tests/layouts/layout_run.h"
#include "tests/parallel/mpi_test_main.h"

namespace athanor::tests {
namespace {

using parallel::MeshDegrees;
using trainer::Recompute;

constexpr double kTolerance = 1e-5;
constexpr int64_t kSteps = 20;

struct Reference {
  LayoutTrace trace;
  Weights weights;
};

// Rank 0's weights for all ranks.
void share(Weights& weights) {
  model::Model model = model::build_model(layout_model());
  for (const model::Parameter* parameter : model::all_parameters(model))
    for (const model::HfPart& part : parameter->parts) {
      at::Tensor& tensor = weights[part.name];
      if (!tensor.defined()) tensor = at::zeros({part.num_elements()}, at::kFloat);
      session().world().broadcast(tensor, 0).wait();
    }
}

// What one rank computes, on rank 0 (the trace stays there: what ranks compare is the same on all of them).
const Reference& reference(at::ScalarType dtype, std::optional<kernels::Fp8Scale> fp8 = std::nullopt) {
  static std::map<std::pair<at::ScalarType, std::optional<kernels::Fp8Scale>>, Reference> made;
  auto [entry, is_new] = made.try_emplace({dtype, fp8});
  if (!is_new) return entry->second;
  if (session().rank() == 0) entry->second.trace = run_alone(dtype, kSteps, &entry->second.weights, fp8);
  share(entry->second.weights);
  return entry->second;
}

// Communicators are few (one session has room for so many), so meshes are kept.
parallel::MeshCommunicators& axes_of(const MeshDegrees& degrees) {
  static std::map<std::tuple<int, int, int>, std::unique_ptr<parallel::MeshCommunicators>> made;
  auto& axes = made[{degrees.data, degrees.expert, degrees.tensor}];
  if (!axes) {
    const parallel::Mesh mesh(degrees, session().size());
    axes = std::make_unique<parallel::MeshCommunicators>(session(), mesh);
  }
  return *axes;
}

double relative(double value, double expected) {
  return std::abs(value - expected) / std::abs(expected);
}

void print_row(const LayoutCase& layout, const LayoutTrace& trace, const char* verdict) {
  std::printf("%d ranks: %-62s %s  loss %.9g  %s\n", session().size(), layout.name().c_str(),
              trace.digest().c_str(), trace.steps.back().loss, verdict);
}

void expect_same_bits(const LayoutTrace& trace, const LayoutTrace& expected) {
  for (size_t step = 0; step < expected.steps.size(); ++step)
    ASSERT_EQ(trace.steps[step], expected.steps[step])
        << "step " << step + 1 << ": loss " << trace.steps[step].loss << " against "
        << expected.steps[step].loss << ", norm " << trace.steps[step].grad_norm << " against "
        << expected.steps[step].grad_norm;
}

void expect_close(const LayoutTrace& trace, const LayoutTrace& expected) {
  for (size_t step = 0; step < expected.steps.size(); ++step) {
    ASSERT_LT(relative(trace.steps[step].loss, expected.steps[step].loss), kTolerance) << step + 1;
    ASSERT_LT(relative(trace.steps[step].mtp_loss, expected.steps[step].mtp_loss), kTolerance) << step + 1;
    ASSERT_LT(relative(trace.steps[step].grad_norm, expected.steps[step].grad_norm), kTolerance) << step + 1;
  }
  EXPECT_LT(trace.weight_distance, kTolerance);
}

class LayoutMatrix : public testing::TestWithParam<LayoutCase> {};

TEST_P(LayoutMatrix, TrainsTheModelOfOneRank) {
  const LayoutCase layout = GetParam();
  const MeshDegrees& degrees = layout.degrees;
  if (degrees.data * degrees.tensor != session().size()) return;  // of another world size
  const Reference& expected = reference(layout.dtype, layout.fp8);
  const HarnessAxes axes = HarnessAxes::of(axes_of(degrees));
  const bool is_exact = degrees.tensor == 1 && !layout.is_fast;
  const LayoutTrace trace =
      run_layout(layout, axes, session().world(),
                 {.num_steps = kSteps, .expected_weights = is_exact ? nullptr : &expected.weights});
  if (session().rank() != 0) return;
  if (is_exact)
    expect_same_bits(trace, expected.trace);
  else
    expect_close(trace, expected.trace);
  print_row(layout, trace, is_exact ? "the bits of one rank" : "within 1e-5 of one rank");
}

// Prints what the fixed order of sums costs on this model, whose steps take milliseconds: an upper bound
// (bench/w1/strict_cost.py measures a model of real size).
TEST(LayoutMatrix, StrictAndFastSideBySide) {
  const MeshDegrees degrees{.data = session().size(), .expert = session().size() > 1 ? 2 : 1};
  const HarnessAxes axes = HarnessAxes::of(axes_of(degrees));
  double seconds[2] = {};
  for (int round = 0; round < 2; ++round)
    for (const bool is_fast : {true, false}) {
      const auto start = std::chrono::steady_clock::now();
      run_layout({.degrees = degrees, .is_fast = is_fast}, axes, session().world(), {.num_steps = 4});
      seconds[is_fast] += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
  if (session().rank() == 0)
    std::printf("%d ranks: %s: strict takes %.2f times as long as fast\n", session().size(),
                LayoutCase{.degrees = degrees}.name().c_str(), seconds[false] / seconds[true]);
}

TEST(LayoutMatrix, OneRankLearns) {
  const LayoutTrace& alone = reference(at::kFloat).trace;
  if (session().rank() != 0) return;
  EXPECT_LT(alone.steps.back().loss, alone.steps.front().loss);
}

LayoutCase layout(int data, int expert, int tensor, int zero, Recompute recompute = Recompute::kNone,
                  at::ScalarType dtype = at::kFloat) {
  return {.degrees = {.data = data, .expert = expert, .tensor = tensor},
          .zero = zero,
          .recompute = recompute,
          .dtype = dtype};
}

LayoutCase fast(LayoutCase layout) {
  layout.is_fast = true;
  return layout;
}

LayoutCase fp8_layout(int data, int expert, int zero, Recompute recompute, kernels::Fp8Scale scale) {
  LayoutCase fp8 = layout(data, expert, 1, zero, recompute, at::kBFloat16);
  fp8.fp8 = scale;
  return fp8;
}

constexpr auto kFull = Recompute::kFull, kSelective = Recompute::kSelective, kNone = Recompute::kNone;
constexpr auto kBf16 = at::kBFloat16;
constexpr Recompute kRecomputes[] = {kNone, kSelective, kFull};

// All divisions of up to 8 ranks, at all ZeRO stages, with recomputation spread over them; on up to 2 ranks
// every kind of recomputation.
std::vector<LayoutCase> all_layouts() {
  std::vector<LayoutCase> all;
  for (int data = 1; data <= 8; data *= 2)
    for (int tensor = 1; tensor <= 4 && data * tensor <= 8; tensor *= 2)
      for (int expert = 1; expert <= data; expert *= 2)
        for (int zero = 0; zero <= 3; ++zero)
          for (const auto recompute : kRecomputes) {
            if (data * tensor > 2 && recompute != kRecomputes[(zero + expert) % 3]) continue;
            all.push_back(layout(data, expert, tensor, zero, recompute));
            if (tensor == 1) all.push_back(layout(data, expert, tensor, zero, recompute, kBf16));
          }
  return all;
}

std::vector<LayoutCase> all_fp8_layouts() {
  std::vector<LayoutCase> all;
  for (int data = 1; data <= 8; data *= 2)
    for (int expert = 1; expert <= data; expert *= 2)
      for (int zero = 0; zero <= 3; ++zero)
        for (const auto scale : {kernels::Fp8Scale::kPowerOfTwo, kernels::Fp8Scale::kFp32})
          all.push_back(fp8_layout(data, expert, zero, kRecomputes[(zero + expert) % 3], scale));
  return all;
}

const LayoutCase kFastLayouts[] = {
    fast(layout(1, 1, 1, 1)), fast(layout(2, 1, 1, 1, kSelective)), fast(layout(2, 2, 1, 3)),
    fast(layout(4, 2, 1, 0)), fast(layout(2, 2, 2, 1, kFull)),      fast(layout(8, 8, 1, 2)),
    fast(layout(8, 4, 1, 1)),
};

std::string name_of_case(const testing::TestParamInfo<LayoutCase>& info) {
  std::string name = info.param.name();
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Strict, LayoutMatrix, testing::ValuesIn(all_layouts()), name_of_case);
INSTANTIATE_TEST_SUITE_P(Fp8, LayoutMatrix, testing::ValuesIn(all_fp8_layouts()), name_of_case);
INSTANTIATE_TEST_SUITE_P(Fast, LayoutMatrix, testing::ValuesIn(kFastLayouts), name_of_case);

}  // namespace
}  // namespace athanor::tests
