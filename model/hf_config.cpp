// config.json of Hugging Face, both dialects, to a ModelSpec and back.
#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "configs/field.h"
#include "configs/model_config.h"
#include "configs/range.h"
#include "core/error.h"
#include "core/json.h"
#include "model/spec.h"

namespace athanor::model {
namespace {

using core::DataError;
using nlohmann::json;

// The options of the `model:` section, which are named as in config.json, by name; those of rope_scaling
// among them.
const std::map<std::string, configs::Option, std::less<>>& declared_options() {
  static const auto kOptions = [] {
    std::map<std::string, configs::Option, std::less<>> options;
    configs::ModelConfig model;
    for (const auto& field : configs::fields_of(model)) options.emplace(field.name, field.option);
    for (const auto& field : configs::fields_of(model.rope_scaling))
      options.emplace(field.name, field.option);
    return options;
  }();
  return kOptions;
}

// The range that the configuration declares for `name`; without a declaration, what indices can count.
const configs::Option& declared_option(std::string_view name) {
  static const configs::Option kUndeclared{.meaning = "", .minimum = 0, .maximum = 1 << 30};
  const auto found = declared_options().find(name);
  return found == declared_options().end() ? kUndeclared : found->second;
}

// Typed access to one JSON object; every failure names the file, the key, what was expected and what was
// found.
class Fields {
 public:
  Fields(const json& object, std::string path) : object_(object), path_(std::move(path)) {}

  bool has(const char* key) const { return object_.contains(key) && !object_.at(key).is_null(); }

  /// In the range that the configuration declares for the option of this name, or for `declared_as`.
  int64_t integer(const char* key, std::optional<int64_t> fallback = std::nullopt,
                  const char* declared_as = nullptr) const {
    if (!has(key)) return required(key, fallback);
    const json& value = object_.at(key);
    if (!value.is_number_integer()) fail(key, "an integer", value);
    check_range(key, declared_as ? declared_as : key, value);
    return value.get<int64_t>();
  }
  /// Likewise, where a key that is left out and a key that is null are different things.
  int64_t integer_or(const char* key, int64_t left_out, int64_t null) const {
    return integer(key, object_.contains(key) ? null : left_out);
  }
  double number(const char* key, std::optional<double> fallback = std::nullopt) const {
    if (!has(key)) return required(key, fallback);
    if (!object_.at(key).is_number()) fail(key, "a number", object_.at(key));
    check_range(key, key, object_.at(key));
    return object_.at(key).get<double>();
  }
  bool boolean(const char* key, bool fallback) const {
    if (!has(key)) return fallback;
    if (!object_.at(key).is_boolean()) fail(key, "true or false", object_.at(key));
    return object_.at(key).get<bool>();
  }
  std::string text(const char* key, const std::string& fallback) const {
    if (!has(key)) return fallback;
    if (!object_.at(key).is_string()) fail(key, "a text", object_.at(key));
    return object_.at(key).get<std::string>();
  }
  std::vector<int64_t> integers(const char* key) const {
    if (!has(key)) return {};
    const json& value = object_.at(key);
    if (value.is_number_integer()) return {value.get<int64_t>()};
    if (!value.is_array()) fail(key, "an integer or a list of integers", value);
    std::vector<int64_t> numbers;
    for (const json& element : value) {
      if (!element.is_number_integer()) fail(key, "a list of integers", value);
      numbers.push_back(element.get<int64_t>());
    }
    return numbers;
  }
  std::optional<Fields> object(const char* key) const {
    if (!has(key)) return std::nullopt;
    if (!object_.at(key).is_object()) fail(key, "an object", object_.at(key));
    return Fields(object_.at(key), path_ + ": " + key);
  }
  /// Refuses a value other than the one this program implements.
  void only(const char* key, const json& supported) const {
    if (has(key) && object_.at(key) != supported)
      throw DataError("{}: {} is {}: only {} is supported", path_, key, object_.at(key).dump(),
                      supported.dump());
  }

 private:
  template <typename T>
  T required(const char* key, std::optional<T> fallback) const {
    if (!fallback) throw DataError("{}: {} is missing", path_, key);
    return *fallback;
  }
  void check_range(const char* key, const char* declared_as, const json& value) const {
    const configs::Option& option = declared_option(declared_as);
    if (!configs::range_problem(option, value.get<double>()).empty())
      fail(key, configs::describe_range(option), value);
  }
  [[noreturn]] void fail(const char* key, std::string_view expected, const json& found) const {
    throw DataError("{}: {} is {}: expected {}", path_, key, found.dump().substr(0, 80), expected);
  }

  const json& object_;
  std::string path_;
};

// What transformers takes where config.json is silent and the architectures differ: the defaults of
// DeepseekV3Config, LlamaConfig, Qwen2Config and Qwen3MoeConfig (5.x).
struct Defaults {
  int64_t max_position_embeddings;
  int64_t num_key_value_heads;  // 0: as many as query heads, which is also what null means
  int64_t num_experts_per_tok, moe_intermediate_size;
};

Defaults defaults_of(Architecture architecture) {
  switch (architecture) {
    case Architecture::kDeepseekV3:
      return {4096, 0, 8, 2048};
    case Architecture::kLlama:
      return {2048, 0, 0, 0};
    case Architecture::kQwen2:
      return {32768, 32, 0, 0};
    case Architecture::kQwen3Moe:
      return {32768, 4, 8, 768};
  }
  ATHANOR_CHECK(false, "an architecture without defaults");
}

RopeScaling scaling_from_name(const std::string& name, const std::string& path) {
  if (name == "default" || name.empty()) return RopeScaling::kNone;
  if (name == "linear") return RopeScaling::kLinear;
  if (name == "yarn") return RopeScaling::kYarn;
  if (name == "llama3") return RopeScaling::kLlama3;
  throw DataError("{}: rotary scaling {}: expected default, linear, yarn or llama3", path, name);
}

// transformers 5 keeps theta and scaling together in rope_parameters; released files have rope_theta and
// rope_scaling.
RopeSpec read_rope(const Fields& config, const std::string& path) {
  RopeSpec rope;
  const auto parameters = config.object("rope_parameters");
  const auto scaling = parameters ? parameters : config.object("rope_scaling");
  rope.theta = parameters ? parameters->number("rope_theta", config.number("rope_theta", 10000.0))
                          : config.number("rope_theta", 10000.0);
  if (!scaling) return rope;
  rope.scaling = scaling_from_name(scaling->text("rope_type", scaling->text("type", "default")), path);
  if (rope.scaling == RopeScaling::kNone) return rope;
  rope.factor = scaling->number("factor");
  rope.original_max_position_embeddings = scaling->integer("original_max_position_embeddings", 0);
  rope.beta_fast = scaling->number("beta_fast", 32.0);
  rope.beta_slow = scaling->number("beta_slow", 1.0);
  rope.mscale = scaling->number("mscale", 0.0);
  rope.mscale_all_dim = scaling->number("mscale_all_dim", 0.0);
  rope.attention_factor = scaling->number("attention_factor", 0.0);
  rope.truncate = scaling->boolean("truncate", true);
  rope.low_freq_factor = scaling->number("low_freq_factor", 1.0);
  rope.high_freq_factor = scaling->number("high_freq_factor", 4.0);
  return rope;
}

void read_latent_attention(const Fields& config, ModelSpec& spec) {
  spec.q_lora_rank = config.integer_or("q_lora_rank", 1536, 0);
  spec.kv_lora_rank = config.integer("kv_lora_rank");
  spec.qk_nope_head_dim = config.integer("qk_nope_head_dim");
  spec.qk_rope_head_dim = config.integer("qk_rope_head_dim");
  spec.v_head_dim = config.integer("v_head_dim");
  spec.rope.interleaved = config.boolean("rope_interleave", true);
  config.only("attention_bias", false);
}

void read_deepseek_experts(const Fields& config, ModelSpec& spec) {
  spec.n_routed_experts =
      config.integer_or("n_routed_experts", config.integer("num_local_experts", 256, "n_routed_experts"), 0);
  spec.n_shared_experts = config.integer_or("n_shared_experts", 1, 0);
  spec.n_group = config.integer_or("n_group", 8, 1);
  spec.topk_group = config.integer_or("topk_group", 4, 1);
  spec.first_k_dense_replace = config.integer_or("first_k_dense_replace", 3, 0);
  spec.norm_topk_prob = config.boolean("norm_topk_prob", true);
  spec.routed_scaling_factor = config.number("routed_scaling_factor", 2.5);
  spec.num_nextn_predict_layers = config.integer("num_nextn_predict_layers", 0);
  config.only("moe_layer_freq", 1);
  config.only("scoring_func", "sigmoid");
  config.only("topk_method", "noaux_tc");
}

void read_qwen3_experts(const Fields& config, ModelSpec& spec) {
  spec.n_routed_experts = config.integer(
      "num_experts", config.integer("num_local_experts", 128, "n_routed_experts"), "n_routed_experts");
  spec.decoder_sparse_step = config.integer("decoder_sparse_step", 1);
  spec.mlp_only_layers = config.integers("mlp_only_layers");
  spec.norm_topk_prob = config.boolean("norm_topk_prob", false);
  spec.qk_norm = true;
}

void read_grouped_query_attention(const Fields& config, ModelSpec& spec) {
  spec.head_dim =
      config.integer("head_dim", spec.num_attention_heads ? spec.hidden_size / spec.num_attention_heads : 0);
  const bool attention_bias = config.boolean("attention_bias", false);
  spec.qkv_bias = attention_bias || spec.architecture == Architecture::kQwen2;
  spec.output_bias = attention_bias && spec.architecture != Architecture::kQwen2;  // which has no such option
  config.only("mlp_bias", false);
  if (config.boolean("use_sliding_window", false)) {
    spec.sliding_window = config.integer_or("sliding_window", 4096, 0);
    spec.max_window_layers =
        config.integer("max_window_layers", spec.architecture == Architecture::kQwen2 ? 28 : 0);
  }
}

json parsed_object(const std::string& json_text, const std::string& path) {
  try {
    json parsed = json::parse(json_text);
    if (!parsed.is_object())
      throw DataError("{}: expected a JSON object, found {}", path, parsed.type_name());
    return parsed;
  } catch (const json::exception& error) {  // "[json.exception...] parse error at line 1, column 2: ..."
    const std::string what = error.what();
    throw DataError("{}: broken JSON: {}", path, what.substr(what.find("] ") + 2, 200));
  }
}

Architecture read_architecture(const Fields& config, const std::string& path) {
  const std::string name = config.text("model_type", "");
  try {
    return architecture_from_name(name);
  } catch (const core::ConfigError& error) {
    const std::string what = error.what();  // "architecture NAME: expected one of ..."
    throw DataError("{}: model_type {}: {}", path,
                    config.has("model_type") ? fmt::format("is {:.80}", name) : "is missing",
                    what.substr(what.rfind("expected one of")));
  }
}

json rope_to_json(const RopeSpec& rope) {
  json j = {{"rope_theta", rope.theta}, {"rope_type", "default"}};
  if (rope.scaling == RopeScaling::kNone) return j;
  j["factor"] = rope.factor;
  if (rope.original_max_position_embeddings)
    j["original_max_position_embeddings"] = rope.original_max_position_embeddings;
  switch (rope.scaling) {
    case RopeScaling::kLinear:
      j["rope_type"] = "linear";
      break;
    case RopeScaling::kLlama3:
      j.update({{"rope_type", "llama3"},
                {"low_freq_factor", rope.low_freq_factor},
                {"high_freq_factor", rope.high_freq_factor}});
      break;
    case RopeScaling::kYarn:
      j.update({{"rope_type", "yarn"}, {"beta_fast", rope.beta_fast}, {"beta_slow", rope.beta_slow}});
      if (rope.mscale) j["mscale"] = rope.mscale;
      if (rope.mscale_all_dim) j["mscale_all_dim"] = rope.mscale_all_dim;
      if (rope.attention_factor) j["attention_factor"] = rope.attention_factor;
      if (!rope.truncate) j["truncate"] = false;
      break;
    case RopeScaling::kNone:
      break;
  }
  return j;
}

const char* hf_class_name(Architecture architecture) {
  switch (architecture) {
    case Architecture::kDeepseekV3:
      return "DeepseekV3ForCausalLM";
    case Architecture::kLlama:
      return "LlamaForCausalLM";
    case Architecture::kQwen2:
      return "Qwen2ForCausalLM";
    case Architecture::kQwen3Moe:
      return "Qwen3MoeForCausalLM";
  }
  return "";
}

void write_deepseek(const ModelSpec& s, json& j) {
  j["q_lora_rank"] = s.q_lora_rank ? json(s.q_lora_rank) : json(nullptr);
  j.update({{"kv_lora_rank", s.kv_lora_rank},
            {"qk_nope_head_dim", s.qk_nope_head_dim},
            {"qk_rope_head_dim", s.qk_rope_head_dim},
            {"qk_head_dim", s.query_head_dim()},
            {"head_dim", s.qk_rope_head_dim},
            {"v_head_dim", s.v_head_dim},
            {"rope_interleave", s.rope.interleaved},
            {"attention_bias", false},
            {"n_routed_experts", s.n_routed_experts},
            {"n_shared_experts", s.n_shared_experts},
            {"n_group", s.n_group},
            {"topk_group", s.topk_group},
            {"num_experts_per_tok", s.num_experts_per_tok},
            {"moe_intermediate_size", s.moe_intermediate_size},
            {"norm_topk_prob", s.norm_topk_prob},
            {"routed_scaling_factor", s.routed_scaling_factor},
            {"num_nextn_predict_layers", s.num_nextn_predict_layers}});
  // A dense DeepSeek model is one whose first layers, all of them, are dense.
  j["first_k_dense_replace"] = s.n_routed_experts ? s.first_k_dense_replace : s.num_hidden_layers;
}

void write_qwen3_moe(const ModelSpec& s, json& j) {
  j.update({{"num_experts", s.n_routed_experts},
            {"num_experts_per_tok", s.num_experts_per_tok},
            {"moe_intermediate_size", s.moe_intermediate_size},
            {"decoder_sparse_step", s.decoder_sparse_step},
            {"mlp_only_layers", s.mlp_only_layers},
            {"norm_topk_prob", s.norm_topk_prob}});
}

}  // namespace

ModelSpec spec_from_hf_config(const std::string& json_text, const std::string& path) {
  const json parsed = parsed_object(json_text, path);
  const Fields config(parsed, path);
  ModelSpec spec;
  spec.architecture = read_architecture(config, path);
  const Defaults defaults = defaults_of(spec.architecture);
  config.only("hidden_act", "silu");
  spec.vocab_size = config.integer("vocab_size");
  spec.hidden_size = config.integer("hidden_size");
  spec.intermediate_size = config.integer("intermediate_size");
  spec.num_hidden_layers = config.integer("num_hidden_layers");
  spec.num_attention_heads = config.integer("num_attention_heads");
  spec.num_key_value_heads = config.integer_or(
      "num_key_value_heads",
      defaults.num_key_value_heads ? defaults.num_key_value_heads : spec.num_attention_heads,
      spec.num_attention_heads);
  spec.max_position_embeddings = config.integer("max_position_embeddings", defaults.max_position_embeddings);
  spec.rms_norm_eps = config.number("rms_norm_eps", 1e-6);
  spec.initializer_range = config.number("initializer_range", 0.02);
  spec.tie_word_embeddings = config.boolean("tie_word_embeddings", false);
  spec.rope = read_rope(config, path);
  spec.num_experts_per_tok = config.integer("num_experts_per_tok", defaults.num_experts_per_tok);
  spec.moe_intermediate_size = config.integer("moe_intermediate_size", defaults.moe_intermediate_size);
  if (spec.has_latent_attention()) {
    read_latent_attention(config, spec);
    read_deepseek_experts(config, spec);
  } else {
    read_grouped_query_attention(config, spec);
  }
  if (spec.architecture == Architecture::kQwen3Moe) read_qwen3_experts(config, spec);
  const auto bos = config.integers("bos_token_id");
  spec.bos_token_id = bos.empty() ? -1 : bos.front();
  spec.eos_token_ids = config.integers("eos_token_id");
  if (const auto found = problems(spec); !found.empty())
    throw DataError("{}: {}", path, fmt::join(found, "; "));
  return spec;
}

std::string spec_to_hf_config(const ModelSpec& s, std::string_view torch_dtype) {
  json j = {{"architectures", {hf_class_name(s.architecture)}},
            {"model_type", architecture_name(s.architecture)},
            {"hidden_act", "silu"},
            {"dtype", torch_dtype},
            {"vocab_size", s.vocab_size},
            {"hidden_size", s.hidden_size},
            {"intermediate_size", s.intermediate_size},
            {"num_hidden_layers", s.num_hidden_layers},
            {"num_attention_heads", s.num_attention_heads},
            {"num_key_value_heads", s.num_key_value_heads},
            {"max_position_embeddings", s.max_position_embeddings},
            {"rms_norm_eps", s.rms_norm_eps},
            {"initializer_range", s.initializer_range},
            {"tie_word_embeddings", s.tie_word_embeddings},
            {"rope_parameters", rope_to_json(s.rope)},
            {"use_cache", true}};
  if (s.bos_token_id >= 0) j["bos_token_id"] = s.bos_token_id;
  if (s.eos_token_ids.size() == 1) j["eos_token_id"] = s.eos_token_ids.front();
  if (s.eos_token_ids.size() > 1) j["eos_token_id"] = s.eos_token_ids;
  if (s.has_latent_attention()) {
    write_deepseek(s, j);
  } else {
    j.update({{"head_dim", s.head_dim}, {"attention_bias", s.output_bias}});
  }
  if (s.architecture == Architecture::kQwen3Moe) write_qwen3_moe(s, j);
  if (s.sliding_window)
    j.update({{"use_sliding_window", true},
              {"sliding_window", s.sliding_window},
              {"max_window_layers", s.max_window_layers}});
  return j.dump(2) + "\n";
}

}  // namespace athanor::model
