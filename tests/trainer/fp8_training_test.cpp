// A small model trained in FP8 beside the same in bf16.
#include <gtest/gtest.h>

#include "core/rng.h"
#include "kernels/fp8.h"
#include "model/initialise.h"
#include "parallel/self_communicator.h"
#include "tests/trainer/training_harness.h"

namespace athanor::tests {
namespace {

using kernels::Fp8Scale;

// Widths above and below one block of 128.
model::ModelSpec small_moe() {
  model::ModelSpec spec;
  spec.architecture = model::Architecture::kDeepseekV3;
  spec.vocab_size = 97;
  spec.hidden_size = 144;
  spec.intermediate_size = 200;
  spec.num_hidden_layers = 2;
  spec.num_attention_heads = spec.num_key_value_heads = 2;
  spec.max_position_embeddings = 64;
  spec.rope.interleaved = true;
  spec.kv_lora_rank = 16;
  spec.qk_nope_head_dim = 8;
  spec.qk_rope_head_dim = 4;
  spec.v_head_dim = 12;
  spec.n_routed_experts = 4;
  spec.n_shared_experts = 1;
  spec.num_experts_per_tok = 2;
  spec.moe_intermediate_size = 72;
  spec.first_k_dense_replace = 1;
  spec.num_nextn_predict_layers = 1;
  return spec;
}

void read_initial(const model::Parameter& parameter, int64_t begin, std::span<float> out) {
  model::initialise(parameter, 0.05, 42, begin, out);
}

// A text that repeats with a period of seven tokens.
model::MicroBatch data_of(const model::ModelSpec& spec, int64_t step) {
  const core::CounterRng rng(5, "fp8 data");
  std::vector<int64_t> ids, labels;
  for (int64_t s = 0; s < 4; ++s) {
    std::vector<int64_t> period(7);
    for (size_t i = 0; i < period.size(); ++i)
      period[i] = static_cast<int64_t>(rng.below(static_cast<uint64_t>((step * 4 + s) * 7) + i, 30));
    for (size_t t = 0; t < 48; ++t) {
      ids.push_back(period[t % 7]);
      labels.push_back(t == 47 ? kernels::kIgnoredLabel : period[(t + 1) % 7]);
    }
  }
  return micro_batch(spec, ids, labels, 48);
}

std::vector<double> losses(std::optional<Fp8Scale> fp8) {
  parallel::SelfCommunicator alone("data");
  const model::ModelSpec spec = small_moe();
  Harness made(
      spec,
      {.compute_dtype = at::kBFloat16,
       .fp8 = fp8,
       .schedule = {.kind = optim::ScheduleKind::kConstant, .learning_rate = 3e-3, .total_steps = 1000}},
      alone, read_initial);
  std::vector<double> losses;
  for (int64_t step = 1; step <= 40; ++step)
    losses.push_back(made.step->run(step, {data_of(spec, step)}).loss);
  return losses;
}

TEST(Fp8Training, FollowsBf16) {
  const auto bf16 = losses(std::nullopt);
  const auto last = [](const std::vector<double>& all) {
    double sum = 0;
    for (size_t i = all.size() - 10; i < all.size(); ++i) sum += all[i] / 10;
    return sum;
  };
  EXPECT_LT(last(bf16), bf16.front() - 0.5);
  for (const Fp8Scale scale : {Fp8Scale::kPowerOfTwo, Fp8Scale::kFp32}) {
    const auto fp8 = losses(scale);
    std::printf("scale %d: first loss %.4f (bf16 %.4f), last ten %.4f (bf16 %.4f)\n", static_cast<int>(scale),
                fp8.front(), bf16.front(), last(fp8), last(bf16));
    EXPECT_NE(fp8.back(), bf16.back()) << "nothing was quantised";
    EXPECT_NEAR(fp8.front(), bf16.front(), 0.01);
    EXPECT_NEAR(last(fp8), last(bf16), 0.1);
  }
}

}  // namespace
}  // namespace athanor::tests
