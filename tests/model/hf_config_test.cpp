// What a config.json that leaves things out means: what transformers takes for them.
#include <functional>

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/json.h"
#include "model/spec.h"

namespace athanor::model {
namespace {

using nlohmann::json;

// Only what every model must state.
json smallest(const std::string& model_type) {
  json config = {{"model_type", model_type}, {"vocab_size", 64},       {"hidden_size", 64},
                 {"intermediate_size", 96},  {"num_hidden_layers", 5}, {"num_attention_heads", 32}};
  if (model_type == "deepseek_v3")
    config.update({{"kv_lora_rank", 8}, {"qk_nope_head_dim", 8}, {"qk_rope_head_dim", 8}, {"v_head_dim", 8}});
  return config;
}

ModelSpec spec_of(const json& config) {
  return spec_from_hf_config(config.dump(), "config.json");
}

std::string message_of(const std::string& json_text) {
  try {
    spec_from_hf_config(json_text, "config.json");
  } catch (const core::DataError& error) {
    return error.what();
  }
  return "no error";
}

using Read = std::function<double(const ModelSpec&)>;
template <typename T>
Read field(T ModelSpec::*member) {
  return [member](const ModelSpec& spec) { return static_cast<double>(spec.*member); };
}

struct Default {
  const char* key;
  Read read;
  double left_out;
  json stated;
};

TEST(HfConfig, WhatIsLeftOutIsWhatTransformersTakes) {
  const Default any[] = {{"rms_norm_eps", field(&ModelSpec::rms_norm_eps), 1e-6, 1e-5},
                         {"initializer_range", field(&ModelSpec::initializer_range), 0.02, 0.5},
                         {"tie_word_embeddings", field(&ModelSpec::tie_word_embeddings), 0, true},
                         {"rope_theta", [](const ModelSpec& s) { return s.rope.theta; }, 10000, 5000}};
  const std::pair<const char*, std::vector<Default>> architectures[] = {
      {"deepseek_v3",
       {{"max_position_embeddings", field(&ModelSpec::max_position_embeddings), 4096, 100},
        {"q_lora_rank", field(&ModelSpec::q_lora_rank), 1536, 16},
        {"n_routed_experts", field(&ModelSpec::n_routed_experts), 256, 16},
        {"n_shared_experts", field(&ModelSpec::n_shared_experts), 1, 2},
        {"n_group", field(&ModelSpec::n_group), 8, 4},
        {"topk_group", field(&ModelSpec::topk_group), 4, 2},
        {"num_experts_per_tok", field(&ModelSpec::num_experts_per_tok), 8, 2},
        {"moe_intermediate_size", field(&ModelSpec::moe_intermediate_size), 2048, 32},
        {"first_k_dense_replace", field(&ModelSpec::first_k_dense_replace), 3, 1},
        {"norm_topk_prob", field(&ModelSpec::norm_topk_prob), 1, false},
        {"routed_scaling_factor", field(&ModelSpec::routed_scaling_factor), 2.5, 1.5},
        {"rope_interleave", [](const ModelSpec& s) { return s.rope.interleaved ? 1.0 : 0.0; }, 1, false},
        {"num_nextn_predict_layers", field(&ModelSpec::num_nextn_predict_layers), 0, 1}}},
      {"llama",
       {{"max_position_embeddings", field(&ModelSpec::max_position_embeddings), 2048, 100},
        {"num_key_value_heads", field(&ModelSpec::num_key_value_heads), 32, 8},
        {"head_dim", field(&ModelSpec::head_dim), 2, 16},
        {"attention_bias", field(&ModelSpec::output_bias), 0, true}}},
      {"qwen2",
       {{"max_position_embeddings", field(&ModelSpec::max_position_embeddings), 32768, 100},
        {"num_key_value_heads", field(&ModelSpec::num_key_value_heads), 32, 8}}},
      {"qwen3_moe",
       {{"max_position_embeddings", field(&ModelSpec::max_position_embeddings), 32768, 100},
        {"num_key_value_heads", field(&ModelSpec::num_key_value_heads), 4, 8},
        {"num_experts", field(&ModelSpec::n_routed_experts), 128, 16},
        {"num_experts_per_tok", field(&ModelSpec::num_experts_per_tok), 8, 2},
        {"moe_intermediate_size", field(&ModelSpec::moe_intermediate_size), 768, 32},
        {"decoder_sparse_step", field(&ModelSpec::decoder_sparse_step), 1, 2},
        {"norm_topk_prob", field(&ModelSpec::norm_topk_prob), 0, true}}}};
  for (const auto& [name, own] : architectures) {
    std::vector<Default> defaults(std::begin(any), std::end(any));
    defaults.insert(defaults.end(), own.begin(), own.end());
    for (const Default& row : defaults) {
      SCOPED_TRACE(std::string(name) + ": " + row.key);
      EXPECT_EQ(row.read(spec_of(smallest(name))), row.left_out);
      json stated = smallest(name);
      stated[row.key] = row.stated;
      if (row.key == std::string("n_group")) stated["topk_group"] = 2;
      EXPECT_EQ(row.read(spec_of(stated)),
                row.stated.is_boolean() ? row.stated.get<bool>() : row.stated.get<double>());
    }
  }
}

TEST(HfConfig, NullIsNotLeftOut) {
  json deepseek = smallest("deepseek_v3");
  deepseek.update({{"q_lora_rank", nullptr}, {"n_shared_experts", nullptr}});
  EXPECT_EQ(spec_of(deepseek).q_lora_rank, 0);
  EXPECT_EQ(spec_of(deepseek).n_shared_experts, 0);
  json qwen = smallest("qwen3_moe");
  qwen["num_key_value_heads"] = nullptr;
  EXPECT_EQ(spec_of(qwen).num_key_value_heads, 32);
}

TEST(HfConfig, WindowsOfQwen2) {
  json config = smallest("qwen2");
  EXPECT_EQ(spec_of(config).sliding_window, 0);
  config["use_sliding_window"] = true;
  EXPECT_EQ(spec_of(config).sliding_window, 4096);
  EXPECT_EQ(spec_of(config).max_window_layers, 28);
  config["sliding_window"] = nullptr;
  EXPECT_EQ(spec_of(config).sliding_window, 0);
}

TEST(HfConfig, Qwen2HasBiasesOfItsOwn) {
  json config = smallest("qwen2");
  config["attention_bias"] = true;  // which transformers does not read for Qwen2
  EXPECT_TRUE(spec_of(config).qkv_bias);
  EXPECT_FALSE(spec_of(config).output_bias);
}

TEST(HfConfig, WhatIsWrittenDoesNotRestOnDefaults) {
  for (const char* name : {"deepseek_v3", "llama", "qwen2", "qwen3_moe"}) {
    ModelSpec spec = spec_of(smallest(name));
    spec.max_position_embeddings = 77;
    spec.num_key_value_heads = 8;
    if (spec.n_routed_experts > 0) spec.num_experts_per_tok = 1;
    if (spec.has_latent_attention()) {
      spec.q_lora_rank = spec.n_shared_experts = spec.first_k_dense_replace = 0;
      spec.n_group = spec.topk_group = 1;
      spec.routed_scaling_factor = 1;
    }
    const std::string written = spec_to_hf_config(spec, "float32");
    EXPECT_EQ(spec_to_hf_config(spec_from_hf_config(written, "written"), "float32"), written) << name;
  }
}

TEST(HfConfig, SaysWhatIsWrong) {
  json config = smallest("llama");
  config.erase("model_type");
  EXPECT_EQ(message_of(config.dump()),
            "config.json: model_type is missing: expected one of deepseek_v3, llama, qwen2, qwen3_moe");
  EXPECT_EQ(message_of(R"({"model_type": "bert"})"),
            "config.json: model_type is bert: expected one of deepseek_v3, llama, qwen2, qwen3_moe");
  EXPECT_EQ(message_of("[1, 2]"), "config.json: expected a JSON object, found array");
  const std::string broken = message_of("{\"model_type\": \"llama\",\n \"vocab_size\": }");
  EXPECT_NE(broken.find("config.json: broken JSON: parse error at line 2, column 16"), std::string::npos)
      << broken;
  EXPECT_NE(message_of("").find("broken JSON: parse error at line 1, column 1"), std::string::npos);
}

}  // namespace
}  // namespace athanor::model
