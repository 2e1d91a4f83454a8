// FP8 training: what every rank multiplies with is the whole weight quantised in one place, whatever the ZeRO
// stage and however it travelled; and codes are half the bytes of bf16.
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include "kernels/fp8.h"
#include "model/initialise.h"
#include "parallel/recording_communicator.h"
#include "tests/parallel/mpi_test_main.h"
#include "tests/trainer/training_harness.h"

namespace athanor::tests {
namespace {

using kernels::Fp8Scale;

// Widths above and below one block of 128, so that blocks straddle shards and shards straddle blocks.
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

/// The whole parameter as bf16 weights are.
at::Tensor whole_value(const model::Parameter& parameter) {
  const at::Tensor values = at::empty(parameter.shape);
  read_initial(parameter, 0, {values.mutable_data_ptr<float>(), static_cast<size_t>(values.numel())});
  return values.to(at::kBFloat16);
}

bool same_values(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && at::equal(a, b);
}

void expect_bound_weights(Harness& made, Fp8Scale scale) {
  for (size_t i = 0; i < made.model.blocks.size(); ++i) {
    made.store->acquire(i);
    for (const model::Parameter* parameter : made.model.blocks[i]->parameters()) {
      SCOPED_TRACE(parameter->name);
      const at::Tensor value = whole_value(*parameter);
      EXPECT_EQ(parameter->is_quantised(), parameter->takes_fp8());
      if (!parameter->is_quantised()) {
        EXPECT_TRUE(same_values(parameter->value, value));
        continue;
      }
      const auto expected =
          kernels::quantise(value, kernels::Fp8Tiles::kBlock, {.scale = scale}, kernels::Fp8Keep::kExact);
      EXPECT_TRUE(same_values(parameter->quantised.exact, expected.exact));
      EXPECT_TRUE(same_values(parameter->quantised.scales, expected.scales));
      EXPECT_FALSE(parameter->value.defined()) << "would be multiplied without its input being quantised";
    }
    made.store->release(i);
  }
}

TEST(Fp8Weights, AreTheWholeWeightQuantisedInOnePlace) {
  struct Case {
    int zero_stage;
    bool gathers_fp8;
    Fp8Scale scale;
  };
  for (const Case& c : {Case{0, true, Fp8Scale::kFp32},
                        {1, true, Fp8Scale::kFp32},
                        {2, false, Fp8Scale::kPowerOfTwo},
                        {3, true, Fp8Scale::kPowerOfTwo},
                        {3, true, Fp8Scale::kFp32},
                        {3, false, Fp8Scale::kFp32}}) {
    SCOPED_TRACE(::testing::Message() << "stage " << c.zero_stage << " codes " << c.gathers_fp8 << " scale "
                                      << static_cast<int>(c.scale));
    Harness made(small_moe(),
                 {.zero_stage = c.zero_stage,
                  .compute_dtype = at::kBFloat16,
                  .fp8 = c.scale,
                  .gathers_fp8 = c.gathers_fp8},
                 session().world(), read_initial);
    expect_bound_weights(made, c.scale);
  }
}

TEST(Fp8Weights, EmbeddingHeadRouterAndNormsKeepTheirPrecision) {
  model::Model model = model::build_model(small_moe());
  for (const model::Parameter* parameter : model::all_parameters(model)) {
    const auto has = [&](const char* part) { return parameter->name.find(part) != std::string::npos; };
    const bool is_precise = has("norm") || has("embed_tokens") || has("lm_head") || has("mlp.gate.weight");
    EXPECT_EQ(parameter->takes_fp8(), !is_precise) << parameter->name;
  }
}

/// Bytes that one rank receives in all_gathers while every block is used once at stage 3, or while updated
/// weights are shared at stage 1.
int64_t gathered_bytes(int zero_stage, std::optional<Fp8Scale> fp8, bool gathers_fp8, int64_t& fp8_elements) {
  parallel::RecordingCommunicator data(session().world());
  Harness made(
      small_moe(),
      {.zero_stage = zero_stage, .compute_dtype = at::kBFloat16, .fp8 = fp8, .gathers_fp8 = gathers_fp8},
      data, read_initial);
  fp8_elements = 0;
  for (const auto& slice : made.store->slices())
    if (slice.parameters->front()->takes_fp8() && fp8)
      fp8_elements += slice.layout->padded_size(data.size()) - slice.layout->shard_size(data.size());
  data.reset();
  if (zero_stage < 3) made.store->publish();
  for (size_t i = 0; i < made.model.blocks.size(); ++i) {
    made.store->acquire(i);
    made.store->release(i);
  }
  return data.traffic(parallel::Verb::kAllGather).received_bytes;
}

TEST(Fp8Weights, TravelInHalfTheBytes) {
  for (const int stage : {1, 3}) {
    int64_t num_fp8 = 0, ignored = 0;
    const int64_t as_codes = gathered_bytes(stage, Fp8Scale::kPowerOfTwo, true, num_fp8),
                  as_bf16 = gathered_bytes(stage, Fp8Scale::kPowerOfTwo, false, ignored);
    EXPECT_GT(num_fp8, 0);
    EXPECT_EQ(as_bf16 - as_codes, num_fp8) << "one byte instead of two";
    // What is left are embedding, head, router and norms.
    const int64_t others = as_bf16 - 2 * num_fp8;
    EXPECT_EQ(as_codes, num_fp8 + others);
    if (session().world().rank() == 0)
      std::printf("stage %d, %d ranks: linear layers %ld bytes in fp8, %ld in bf16; everything %ld and %ld\n",
                  stage, session().world().size(), num_fp8, 2 * num_fp8, as_codes, as_bf16);
  }
}

}  // namespace
}  // namespace athanor::tests
