// What options must satisfy together.
#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/configs/config_text.h"

namespace athanor::configs {
namespace {

struct RuleCase {
  const char* overrides[3];  // of the smallest configuration
  const char* expected;      // a part of the one error, or empty: none
};

const RuleCase kRuleCases[] = {
    {{}, ""},
    {{"model.architecture=llama", "model.hidden_size=250"},
     "model.hidden_size: 250 is not divisible by num_attention_heads 4; change one of them or set head_dim"},
    {{"model.architecture=llama", "model.hidden_size=250", "model.head_dim=64"}, ""},
    {{"model.architecture=llama", "model.head_dim=63"},
     "model.head_dim: a head of width 63 (hidden_size 256, 4 heads) has no pairs to turn; make it even"},
    {{"model.architecture=llama", "model.num_key_value_heads=3"},
     "model.num_attention_heads: 4 query heads cannot be shared out to 3 key and value heads"},
    {{"model.architecture=llama", "model.n_routed_experts=8"},
     "model.n_routed_experts: architecture llama does not use it; remove it"},
    {{"model.architecture=llama", "model.n_routed_experts=0"}, ""},
    {{"model.architecture=qwen3_moe", "model.n_group=2"},
     "model.n_group: architecture qwen3_moe does not use it"},
    {{"model.architecture=qwen3_moe", "model.n_routed_experts=0"},
     "model.n_routed_experts: must be at least 1 for qwen3_moe, found 0"},
    {{"model.architecture=qwen3_moe", "model.mlp_only_layers=[0, 4]"},
     "model.mlp_only_layers: there is no layer 4; with num_hidden_layers 4 the last is 3"},
    {{"model.n_routed_experts=0"}, ""},
    {{"model.architecture=qwen2", "model.attention_bias=false"},
     "model.attention_bias: false, but qwen2 always has query, key and value biases"},
    {{"model.architecture=llama", "model.mtp_loss_weight=0.1"},
     "model.mtp_loss_weight: architecture llama does not use it"},
    {{"model.num_experts_per_tok=17"}, "model.num_experts_per_tok: 17 is above n_routed_experts 16"},
    {{"model.num_experts_per_tok=0"}, "model.num_experts_per_tok: must be at least 1, found 0"},
    {{"model.topk_group=2"}, "model.topk_group: 2 is above n_group 1; lower it"},
    {{"model.n_group=3"}, "model.n_group: 3 groups cannot hold 16 routed experts in equal parts"},
    {{"model.n_group=16"}, "model.n_group: 16 groups leave 1 of 16 experts in each"},
    {{"model.n_group=8", "model.num_experts_per_tok=4"},
     "model.num_experts_per_tok: 4 is above the 2 experts of the topk_group 1 groups a token may use"},
    {{"model.n_group=8", "model.num_experts_per_tok=4", "model.topk_group=2"}, ""},
    {{"model.first_k_dense_replace=5"},
     "model.first_k_dense_replace: 5 is above num_hidden_layers 4; lower it"},
    {{"model.qk_rope_head_dim=31"}, "model.qk_rope_head_dim: must be even and at least 2"},
    {{"model.kv_lora_rank=0"}, "model.kv_lora_rank: must be at least 1 for deepseek_v3, found 0"},
    {{"model.num_key_value_heads=2"}, "model.num_key_value_heads: 2 differs from num_attention_heads 4"},
    {{"model.num_key_value_heads=4"}, ""},
    {{"model.rope_scaling.factor=4"},
     "model.rope_scaling.factor: 4 has no effect with rope_scaling.type none"},
    {{"model.rope_scaling.factor=4", "model.rope_scaling.type=yarn"}, ""},
    {{"model.rope_scaling.type=yarn", "model.rope_scaling.beta_slow=40"},
     "model.rope_scaling.beta_fast: 32 must be above beta_slow 40"},
    {{"model.rope_scaling.type=llama3", "model.rope_scaling.low_freq_factor=8"},
     "model.rope_scaling.high_freq_factor: 4 must be above low_freq_factor 8"},
    {{"model.rope_scaling.beta_fast=16"},
     "model.rope_scaling.beta_fast: rope_scaling.type none does not use it; remove it"},
    {{"model.rope_scaling.type=llama3", "model.rope_scaling.mscale=0.5"},
     "model.rope_scaling.mscale: rope_scaling.type llama3 does not use it; remove it"},
    {{"model.rope_scaling.type=yarn", "model.rope_scaling.low_freq_factor=2"},
     "model.rope_scaling.low_freq_factor: rope_scaling.type yarn does not use it; remove it"},
    {{"model.mtp_loss_weight=0.1"}, "model.mtp_loss_weight: 0.1 has no effect without prediction modules"},
    {{"model.mtp_loss_weight=0.1", "model.num_nextn_predict_layers=1"}, ""},
    {{"schedule.decay_ratio=0.3"}, "schedule.decay_ratio: 0.3 has no effect with schedule.decay cosine"},
    {{"schedule.decay=wsd", "schedule.decay_ratio=0.3"}, ""},
    {{"schedule.decay=constant", "schedule.min_ratio=0.5"},
     "schedule.min_ratio: 0.5 has no effect with schedule.decay constant"},
    {{"model.rope_scaling.type=yarn", "model.rope_scaling.original_max_position_embeddings=9000"},
     "model.rope_scaling.original_max_position_embeddings: 9000 is above max_position_embeddings 4096"},
    {{"data.sequence_length=8192"},
     "data.sequence_length: 8192 tokens is above model.max_position_embeddings 4096"},
    {{"data.sequence_length=2", "model.num_nextn_predict_layers=1"},
     "data.sequence_length: 2 tokens leave nothing to predict 1 tokens further"},
    {{"data.train=[]"}, "data.train: no training data"},
    {{"training.max_steps=0"}, "training.max_steps: nothing ends the run"},
    {{"training.max_tokens=1_000_000"},
     "training.max_tokens: only one of training.max_steps, training.max_tokens"},
    {{"training.max_steps=0", "training.max_tokens=100"},
     "training.max_tokens: 100 is less than the 16384 tokens of one step"},
    {{"training.max_steps=0", "training.max_epochs=0.5"}, ""},
    {{"training.global_batch_size=15"},
     "training.global_batch_size: 15 is not a multiple of training.micro_batch_size 4 x 1 data-parallel rank "
     "= 4"},
    {{"parallel.data=3"},
     "training.global_batch_size: 16 is not a multiple of training.micro_batch_size 4 x 3 data-parallel "
     "ranks = 12"},
    {{"training.validate_every=5"},
     "training.validate_every: 5 steps between validations, but data.validation is"},
    {{"training.early_stop_patience=5"},
     "training.early_stop_patience: 5 validations of patience, but training.validate_every is 0"},
    {{"schedule.warmup_steps=5", "schedule.warmup_ratio=0.1"},
     "schedule.warmup_steps: 5 steps and schedule.warmup_ratio 0.1 both set the warm-up; keep one"},
    {{"schedule.warmup_steps=11"}, "schedule.warmup_steps: 11 is above training.max_steps 10; lower it"},
    {{"schedule.warmup_steps=9", "training.max_steps=0", "training.max_tokens=32768"},
     "schedule.warmup_steps: 9 is above the 2 steps that training.max_tokens 32768 allows; lower it"},
    {{"schedule.decay=wsd", "schedule.decay_ratio=0.6", "schedule.warmup_ratio=0.5"},
     "schedule.decay_ratio: 0.6 of the steps for the decay and 0.5 for the warm-up are more than all"},
    {{"schedule.decay=wsd", "schedule.decay_ratio=0.6", "schedule.warmup_steps=5"},
     "schedule.decay_ratio: 0.6 of the steps for the decay and 0.5 for the warm-up are more than all"},
    {{"parallel.expert=2", "parallel.data=2"}, ""},
    {{"parallel.expert=2", "parallel.data=3", "training.global_batch_size=12"},
     "parallel.expert: 2 does not divide parallel.data 3 x context 1 = 3"},
    {{"parallel.expert=4", "parallel.data=4", "model.n_routed_experts=6"},
     "parallel.expert: 4 does not divide model.n_routed_experts 6"},
    {{"parallel.expert=2", "parallel.data=2", "model.architecture=llama"},
     "parallel.expert: 2 ranks have no experts to share out: model.n_routed_experts is 0"},
    {{"parallel.expert_tensor=true"},
     "parallel.expert_tensor: true has no effect with parallel.tensor 1 and model.n_routed_experts 16"},
    {{"parallel.expert_payload=bf16", "training.precision=fp32"}, ""},
    {{"parallel.expert_payload=fp8"}, ""},
    {{"parallel.expert_payload=fp32"}, "parallel.expert_payload: fp32 is wider than what is computed in"},
    {{"parallel.expert_payload=bf16", "model.architecture=llama"},
     "parallel.expert_payload: bf16 has no effect on a network without routed experts"},
    {{"model.expert_capacity_factor=1.25", "model.expert_capacity_policy=score"}, ""},
    {{"model.expert_capacity_policy=score"},
     "model.expert_capacity_policy: score has no effect without a limit"},
    {{"model.n_routed_experts=0", "model.expert_capacity_factor=1"},
     "model.expert_capacity_factor: 1 has no effect on a network without routed experts"},
    {{"model.architecture=llama", "model.expert_capacity_factor=1"},
     "model.expert_capacity_factor: architecture llama does not use it"},
    {{"parallel.tensor=2"}, ""},
    {{"parallel.tensor=8"},
     "parallel.tensor: 8 does not divide model.num_attention_heads 4; change one of them"},
    {{"parallel.tensor=4", "model.architecture=llama", "model.num_key_value_heads=2"},
     "parallel.tensor: 4 does not divide model.num_key_value_heads 2; change one of them"},
    {{"parallel.tensor=4", "model.vocab_size=1002"},
     "parallel.tensor: 4 does not divide model.vocab_size 1002; change one of them"},
    {{"parallel.tensor=4", "model.intermediate_size=1002"},
     "parallel.tensor: 4 does not divide model.intermediate_size 1002; change one of them"},
    {{"parallel.tensor=4", "model.intermediate_size=1002", "model.first_k_dense_replace=0"}, ""},
    {{"parallel.tensor=4", "model.moe_intermediate_size=129", "model.n_shared_experts=2"},
     "parallel.tensor: 4 does not divide model.moe_intermediate_size 129 x n_shared_experts 2 = 258; change"},
    {{"parallel.tensor=4", "model.moe_intermediate_size=129", "model.n_shared_experts=0"}, ""},
    {{"parallel.tensor=4", "training.micro_batch_size=2", "data.sequence_length=255"},
     "parallel.tensor: 4 does not divide training.micro_batch_size 2 x data.sequence_length 255 = 510; "
     "change"},
    {{"training.precision=fp8", "training.fp8_scale=fp32", "parallel.gather_precision=bf16"}, ""},
    {{"training.precision=fp8", "run.device=cuda"}, ""},
    {{"training.fp8_scale=fp32"},
     "training.fp8_scale: fp32 scales, but training.precision is bf16; set it to fp8 or leave this out"},
    {{"parallel.gather_precision=fp8", "training.precision=fp32"},
     "parallel.gather_precision: fp8, but training.precision is fp32: weights travel as they are; leave this "
     "at auto"},
};

TEST(Rules, NameBothNumbers) {
  for (const RuleCase& c : kRuleCases) {
    std::vector<std::string> overrides;
    for (const char* assignment : c.overrides) {
      if (assignment != nullptr) overrides.emplace_back(assignment);
    }
    const Diagnostics diagnostics = check_yaml(kSmallestConfig, overrides);
    const std::string report = to_string(diagnostics);
    const std::string label = overrides.empty() ? "" : overrides[0];
    EXPECT_EQ(diagnostics.size(), std::string(c.expected).empty() ? 0u : 1u) << label << "\n" << report;
    EXPECT_NE(report.find(c.expected), std::string::npos) << label << "\n" << report;
  }
}

TEST(Rules, AllViolationsComeAtOnce) {
  EXPECT_EQ(check_yaml(kSmallestConfig, {"training.validate_every=5", "model.topk_group=2",
                                         "parallel.pipeline=2", "training.global_batch_size=15"})
                .size(),
            4u);
}

TEST(Rules, StaySilentAboutValuesThatAreThemselvesWrong) {
  EXPECT_EQ(
      check_yaml(kSmallestConfig, {"model.n_routed_experts=many", "model.num_experts_per_tok=20"}).size(),
      1u);
  EXPECT_EQ(check_yaml("data: 3\ntraining: {max_steps: 3}\n").size(), 1u);
}

TEST(Rules, KnowTheNumberOfRanks) {
  EXPECT_TRUE(check_yaml(kSmallestConfig, {}, {.world_size = 4}).empty());
  const std::string uneven = to_string(check_yaml(kSmallestConfig, {}, {.world_size = 3}));
  EXPECT_NE(uneven.find("4 x 3 data-parallel ranks = 12"), std::string::npos) << uneven;
  const std::string other = to_string(check_yaml(kSmallestConfig, {"parallel.data=2"}, {.world_size = 4}));
  const std::string odd = to_string(check_yaml(kSmallestConfig, {"parallel.tensor=2"}, {.world_size = 3}));
  EXPECT_NE(odd.find("parallel.tensor: tensor 2 x pipeline 1 x context 1 = 2 does not divide the 3 ranks"),
            std::string::npos)
      << odd;
  EXPECT_TRUE(check_yaml(kSmallestConfig, {"parallel.tensor=2"}, {.world_size = 4}).empty());
  EXPECT_NE(other.find("parallel.data: 2 x tensor 1 x pipeline 1 x context 1 = 2 ranks, but 4 were started"),
            std::string::npos)
      << other;
}

TEST(Rules, PointAtTheValueThatIsGiven) {
  const std::string report =
      to_string(check_yaml("model:\n  n_routed_experts: 1\n" + std::string(kSmallestConfig)));
  EXPECT_EQ(report.substr(0, report.find(" error")), "run.yaml:2:21:") << report;
}

TEST(Rules, CleaningNeedsNoModelAndNoData) {
  const Diagnostics diagnostics = check_yaml("run: {name: x}\n", {}, {.purpose = Purpose::kCleaning});
  ASSERT_EQ(diagnostics.size(), 1u) << to_string(diagnostics);
  EXPECT_EQ(diagnostics[0].key, "clean");
}

TEST(Rules, OfCleaningAreCheckedWhereTheyStand) {
  const std::pair<const char*, const char*> cases[] = {
      {"clean: {inputs: []}", "clean.inputs: nothing to read"},
      {"clean: {inputs: [{path: ''}]}", "clean.inputs[0].path: must not be empty"},
      {"clean: {inputs: [{path: a, text_fields: []}]}", "clean.inputs[0].text_fields: at least one"},
      {"clean: {inputs: [{path: a, format: csv, documents: line}]}",
       "clean.inputs[0].documents: line is about text"},
      {"clean: {inputs: [{path: a, format: text, text_fields: [a]}]}",
       "clean.inputs[0].text_fields: text files"},
      {"clean: {inputs: [{path: a}], output: ''}", "clean.output: expected a file"},
      {"clean: {inputs: [{path: a}], output: a.parquet}",
       "clean.output: JSON lines are written, not .parquet"},
      {"clean: {inputs: [{path: a}], english_rules: {max_top_ngrams: [0.1]}}",
       "max_top_ngrams: expected 3 numbers"},
      {"clean: {inputs: [{path: a}], other_rules: {max_duplicate_ngrams: [0.1]}}",
       "ngrams: expected 6 numbers"},
      {"clean: {inputs: [{path: a}], chinese_rules: {min_words: 9, max_words: 5}}", "min_words: 9 is above"},
      {"clean: {inputs: [{path: a}], language: {keep: [zh, chinese]}}",
       "clean.language.keep[1]: expected one of"},
      {"clean: {inputs: [{path: a}], duplicates: {bands: 256, rows: 64}}",
       "duplicates.bands: 256 x clean.dup"},
  };
  for (const auto& [yaml, message] : cases) {
    const Diagnostics diagnostics = check_yaml(yaml, {}, {.purpose = Purpose::kCleaning});
    ASSERT_EQ(diagnostics.size(), 1u) << yaml << "\n" << to_string(diagnostics);
    EXPECT_NE(to_string(diagnostics).find(message), std::string::npos) << to_string(diagnostics);
    EXPECT_EQ(diagnostics[0].position.line, 1) << yaml;
  }
  const Diagnostics good = check_yaml(
      "clean: {inputs: [{path: a, format: text, documents: line}], output: a.jsonl.zst, "
      "english_rules: {max_top_ngrams: [], max_duplicate_ngrams: [0, 0, 0, 0, 0, 0]}}",
      {}, {.purpose = Purpose::kCleaning});
  EXPECT_TRUE(good.empty()) << to_string(good);
}

TEST(Overrides, AreBlamedForWhatTheyDo) {
  const auto report = [](const char* override) {
    return to_string(check_yaml("optimizer: {betas: [0.9, 0.95]}\ntraining: {max_steps: 5}\n", {override}));
  };
  EXPECT_NE(
      report("optimizer.betas.2=0.9").find("command line: optimizer.betas.2=0.9: error: optimizer.betas"),
      std::string::npos)
      << report("optimizer.betas.2=0.9");
  EXPECT_NE(report("run.seed=").find("found an empty text"), std::string::npos) << report("run.seed=");
  const std::string broken = report("optimizer.betas=[0.9, 0.99");
  EXPECT_EQ(broken.find("found nothing"), std::string::npos) << broken;
  EXPECT_NE(broken.find("command line"), std::string::npos) << broken;
}

TEST(Validate, ChecksRangesAndRulesOfAValueInMemory) {
  RunConfig config = read_valid(kSmallestConfig);
  EXPECT_NO_THROW(validate(config, 2));
  EXPECT_THROW(validate(config, 3), core::ConfigError);
  config.optimizer.learning_rate = -1;
  config.data.train[0].weight = 0;
  config.optimizer.betas[1] = 2;
  try {
    validate(config);
    FAIL() << "expected an error";
  } catch (const core::ConfigError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("optimizer.learning_rate: must be above 0"), std::string::npos) << message;
    EXPECT_NE(message.find("data.train[0].weight: must be above 0"), std::string::npos) << message;
    EXPECT_NE(message.find("optimizer.betas[1]: must be at least 0"), std::string::npos) << message;
  }
}

TEST(ModelConfig, DefaultsOfEveryArchitecturePass) {
  for (const char* architecture : {"deepseek_v3", "llama", "qwen2", "qwen3_moe"}) {
    RunConfig config = read_valid(kSmallestConfig);
    config.model = default_model(architecture);
    EXPECT_EQ(config.model.architecture, architecture);
    EXPECT_NO_THROW(validate(config)) << architecture;
  }
}

}  // namespace
}  // namespace athanor::configs
