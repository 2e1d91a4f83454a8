// The same run on every data-parallel size and ZeRO stage: loss, gradient norm, weights and moments must have
// the same bits at every step as on one rank.
#include <string>
#include <vector>

#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include "core/digest.h"
#include "core/rng.h"
#include "kernels/ops.h"
#include "model/initialise.h"
#include "parallel/self_communicator.h"
#include "tests/parallel/mpi_test_main.h"
#include "tests/trainer/training_harness.h"

namespace athanor::tests {
namespace {

constexpr int64_t kMicroBatches = 8, kSequencesEach = 2, kLength = 24, kSteps = 20;

// Latent attention, dense first layer, shared and routed experts in groups, one prediction module: every kind
// of block.
model::ModelSpec tiny_moe() {
  model::ModelSpec spec;
  spec.architecture = model::Architecture::kDeepseekV3;
  spec.vocab_size = 131;
  spec.hidden_size = 48;
  spec.intermediate_size = 80;
  spec.num_hidden_layers = 3;
  spec.num_attention_heads = spec.num_key_value_heads = 4;
  spec.max_position_embeddings = 64;
  spec.rope.interleaved = true;
  spec.q_lora_rank = 20;
  spec.kv_lora_rank = 16;
  spec.qk_nope_head_dim = 8;
  spec.qk_rope_head_dim = 4;
  spec.v_head_dim = 12;
  spec.n_routed_experts = 8;
  spec.n_shared_experts = 1;
  spec.num_experts_per_tok = 2;
  spec.moe_intermediate_size = 24;
  spec.n_group = 4;
  spec.topk_group = 2;
  spec.first_k_dense_replace = 1;
  spec.routed_scaling_factor = 1.5;
  spec.num_nextn_predict_layers = 1;
  return spec;
}

// Micro batch `m` of step `step`: a pure function of both, so every layout can make its own share.
model::MicroBatch data_of(const model::ModelSpec& spec, int64_t step, int64_t m) {
  const core::CounterRng rng(5, "layout data");
  std::vector<int64_t> ids, labels;
  for (int64_t s = 0; s < kSequencesEach; ++s) {
    for (int64_t t = 0; t < kLength; ++t) {
      const auto index =
          static_cast<uint64_t>(((step * kMicroBatches + m) * kSequencesEach + s) * kLength + t);
      // Skewed, so that something can be learnt and some experts get few tokens.
      ids.push_back(static_cast<int64_t>(rng.below(index, static_cast<uint64_t>(spec.vocab_size)) *
                                         rng.below(index + 1, 100) / 99));
    }
    for (int64_t t = 0; t < kLength; ++t) {
      const bool is_last = t + 1 == kLength;
      labels.push_back(is_last || (m == 3 && t < 5) ? kernels::kIgnoredLabel
                                                    : ids[static_cast<size_t>(s * kLength + t + 1)]);
    }
  }
  return micro_batch(spec, ids, labels, kLength);
}

HarnessOptions options_for(int zero_stage, at::ScalarType dtype, trainer::Recompute recompute) {
  return {.zero_stage = zero_stage,
          .compute_dtype = dtype,
          .recompute = recompute,
          .adamw = {.weight_decay = 0.1},
          .schedule = {.kind = optim::ScheduleKind::kCosine,
                       .learning_rate = 3e-3,
                       .total_steps = kSteps,
                       .warmup_steps = 3},
          .balance = {.bias_update_rate = 1e-2, .sequence_loss_weight = 1e-2}};
}

// All masters and moments, put together from every rank and without the padding that depends on the layout.
std::string whole_state_digest(Harness& made, parallel::Communicator& data) {
  core::Digest digest;
  const auto states = made.optimizer->state();
  for (const auto& state : states) {
    const auto& slice = made.store->slices().at(std::stoul(state.slice));
    at::Tensor whole = state.values;
    if (slice.range.end - slice.range.begin == slice.shard.end - slice.shard.begin) {
      whole = at::empty({data.size() * state.values.size(0)}, at::kFloat);
      data.all_gather(whole, state.values).wait();
    }
    for (const auto& piece : slice.layout->pieces({0, slice.layout->used_size()})) {
      const at::Tensor values =
          whole.narrow(0, piece.slice_begin, piece.parameter_end - piece.parameter_begin);
      digest.update(
          {static_cast<const std::byte*>(values.const_data_ptr()), static_cast<size_t>(values.nbytes())});
    }
  }
  return digest.hex();
}

struct Trace {
  std::vector<std::string> lines;  // one per step: loss, norm, state
};

Trace run(const HarnessOptions& options, parallel::Communicator& data) {
  const model::ModelSpec spec = tiny_moe();
  Harness made(spec, options, data,
               [&](const model::Parameter& parameter, int64_t begin, std::span<float> out) {
                 model::initialise(parameter, 0.05, 42, begin, out);
               });
  Trace trace;
  for (int64_t step = 0; step < kSteps; ++step) {
    std::vector<model::MicroBatch> mine;
    for (int64_t m = data.rank(); m < kMicroBatches; m += data.size()) mine.push_back(data_of(spec, step, m));
    const trainer::StepResult result = made.step->run(step + 1, mine);
    std::string bias;
    for (const model::Buffer* buffer : model::all_buffers(made.model))
      bias += core::digest_hex(std::as_bytes(
          std::span(buffer->value.const_data_ptr<float>(), static_cast<size_t>(buffer->value.numel()))));
    trace.lines.push_back(fmt::format("{:a} {:a} {:a} {} {}", result.loss, result.mtp_losses.at(0),
                                      result.grad_norm, whole_state_digest(made, data),
                                      core::digest_hex(bias)));
  }
  return trace;
}

class Layout : public testing::TestWithParam<at::ScalarType> {};

TEST_P(Layout, EveryStageAndSizeHasTheBitsOfOneRank) {
  parallel::Communicator& data = session().world();
  parallel::SelfCommunicator self("data");
  Trace alone;
  if (data.rank() == 0) {
    alone = run(options_for(0, GetParam(), trainer::Recompute::kNone), self);
    EXPECT_NE(alone.lines.front(), alone.lines.back());
  }
  data.barrier();
  for (int stage = 0; stage <= 3; ++stage) {
    const auto recompute = stage % 2 ? trainer::Recompute::kFull : trainer::Recompute::kNone;
    const Trace trace = run(options_for(stage, GetParam(), recompute), data);
    if (data.rank() != 0) continue;
    for (size_t step = 0; step < trace.lines.size(); ++step)
      ASSERT_EQ(trace.lines[step], alone.lines[step]) << "stage " << stage << ", step " << step;
    std::printf("%d ranks, ZeRO %d, %s, recompute %s: %s\n", data.size(), stage,
                GetParam() == at::kFloat ? "fp32" : "bf16", stage % 2 ? "full" : "none",
                core::digest_hex(trace.lines.back()).c_str());
  }
}

INSTANTIATE_TEST_SUITE_P(Precision, Layout, testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& test) { return test.param == at::kFloat ? "fp32" : "bf16"; });

}  // namespace
}  // namespace athanor::tests
