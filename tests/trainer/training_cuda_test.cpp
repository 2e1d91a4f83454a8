// Training on a GPU: the same run twice has the same bits, in fp32 it follows the CPU's curve closely, in
// bf16 and FP8 roughly; a batch with packed documents, every kind of block, recomputation.
#include <cmath>
#include <cstdio>
#include <optional>

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/rng.h"
#include "kernels/cuda_plugin.h"
#include "kernels/ops.h"
#include "model/initialise.h"
#include "parallel/self_communicator.h"
#include "tests/trainer/training_harness.h"

namespace athanor::tests {
namespace {

constexpr int64_t kLength = 64, kSequences = 4, kSteps = 8, kMicroBatches = 2;

class Gpu : public testing::Environment {
 public:
  void SetUp() override {
    try {
      device = kernels::open_cuda_device(0);
    } catch (const core::ConfigError& error) {
      FAIL() << "these tests need a GPU: " << error.what();
    }
  }
  at::Device device = at::kCPU;
};
Gpu* const g_gpu = static_cast<Gpu*>(testing::AddGlobalTestEnvironment(new Gpu));

// Latent attention with value heads of another size, a dense layer, shared and routed experts in groups, a
// prediction module.
model::ModelSpec small_moe() {
  model::ModelSpec spec;
  spec.architecture = model::Architecture::kDeepseekV3;
  spec.vocab_size = 509;
  spec.hidden_size = 128;
  spec.intermediate_size = 256;
  spec.num_hidden_layers = 3;
  spec.num_attention_heads = spec.num_key_value_heads = 4;
  spec.max_position_embeddings = 128;
  spec.rope.interleaved = true;
  spec.q_lora_rank = 48;
  spec.kv_lora_rank = 32;
  spec.qk_nope_head_dim = 32;
  spec.qk_rope_head_dim = 16;
  spec.v_head_dim = 32;
  spec.n_routed_experts = 16;
  spec.n_shared_experts = 1;
  spec.num_experts_per_tok = 4;
  spec.moe_intermediate_size = 64;
  spec.n_group = 4;
  spec.topk_group = 2;
  spec.first_k_dense_replace = 1;
  spec.routed_scaling_factor = 1.5;
  spec.num_nextn_predict_layers = 1;
  return spec;
}

model::MicroBatch data_of(const model::ModelSpec& spec, int64_t step, int64_t m) {
  const core::CounterRng rng(5, "cuda training data");
  std::vector<int64_t> ids, labels;
  for (int64_t t = 0; t < kSequences * kLength; ++t) {
    const auto index = static_cast<uint64_t>(((step % 2) * kMicroBatches + m) * kSequences * kLength + t);
    ids.push_back(static_cast<int64_t>(rng.below(index, static_cast<uint64_t>(spec.vocab_size))));
  }
  for (size_t t = 0; t < ids.size(); ++t)
    labels.push_back((t + 1) % kLength == 0 ? kernels::kIgnoredLabel : ids[t + 1]);
  return micro_batch(spec, ids, labels, kLength);
}

struct Curve {
  std::vector<double> losses, norms;
  std::string state;
};

struct Precision {
  at::ScalarType dtype;
  std::optional<kernels::Fp8Scale> fp8 = std::nullopt;
};

Curve train(at::Device device, const Precision& precision, trainer::Recompute recompute, int zero_stage) {
  parallel::SelfCommunicator self("data");
  const model::ModelSpec spec = small_moe();
  Harness made(
      spec,
      {.zero_stage = zero_stage,
       .compute_dtype = precision.dtype,
       .fp8 = precision.fp8,
       .recompute = recompute,
       .schedule = {.kind = optim::ScheduleKind::kConstant, .learning_rate = 3e-3, .total_steps = kSteps},
       .balance = {.bias_update_rate = 1e-2, .sequence_loss_weight = 1e-2},
       .device = device},
      self, [&](const model::Parameter& parameter, int64_t begin, std::span<float> out) {
        model::initialise(parameter, 0.02, 11, begin, out);
      });
  Curve curve;
  for (int64_t step = 0; step < kSteps; ++step) {
    std::vector<model::MicroBatch> batches;
    for (int64_t m = 0; m < kMicroBatches; ++m) batches.push_back(data_of(spec, step, m).on(device));
    const trainer::StepResult result = made.step->run(step + 1, batches);
    curve.losses.push_back(result.loss);
    curve.norms.push_back(result.grad_norm);
  }
  curve.state = made.state_digest();
  return curve;
}

void expect_near(const Curve& curve, const Curve& expected, double tolerance) {
  for (size_t i = 0; i < curve.losses.size(); ++i) {
    std::printf("step %zu: loss %.6f (CPU %.6f), gradient norm %.6f (CPU %.6f)\n", i, curve.losses[i],
                expected.losses[i], curve.norms[i], expected.norms[i]);
    EXPECT_NEAR(curve.losses[i], expected.losses[i], tolerance * expected.losses[i]) << "step " << i;
  }
}

struct Case {
  Precision precision;
  double tolerance;  ///< of losses, relative to the CPU's
};

class CudaTraining : public testing::TestWithParam<Case> {};

TEST_P(CudaTraining, FollowsTheCpuAndRepeatsItself) {
  const auto [precision, tolerance] = GetParam();
  const Curve first = train(g_gpu->device, precision, trainer::Recompute::kNone, 1);
  expect_near(first, train(at::kCPU, precision, trainer::Recompute::kNone, 1), tolerance);
  EXPECT_LT(first.losses.back(), first.losses.front());
  EXPECT_EQ(first.state, train(g_gpu->device, precision, trainer::Recompute::kNone, 1).state)
      << "not repeatable";
}

TEST_P(CudaTraining, RecomputationAndZeroStagesShowNowhere) {
  const Precision precision = GetParam().precision;
  const Curve plain = train(g_gpu->device, precision, trainer::Recompute::kNone, 1);
  EXPECT_EQ(plain.state, train(g_gpu->device, precision, trainer::Recompute::kFull, 1).state);
  EXPECT_EQ(plain.state, train(g_gpu->device, precision, trainer::Recompute::kNone, 0).state);
  EXPECT_EQ(plain.state, train(g_gpu->device, precision, trainer::Recompute::kNone, 3).state);
}

INSTANTIATE_TEST_SUITE_P(Precisions, CudaTraining,
                         testing::Values(Case{{at::kFloat}, 1e-5}, Case{{at::kBFloat16}, 1e-2},
                                         Case{{at::kBFloat16, kernels::Fp8Scale::kPowerOfTwo}, 3e-2},
                                         Case{{at::kBFloat16, kernels::Fp8Scale::kFp32}, 3e-2}));

}  // namespace
}  // namespace athanor::tests
