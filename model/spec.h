// The numbers that define a model, complete and checked: what the blocks are built from.
//
// A spec comes from the `model:` section of the configuration or from a Hugging Face config.json (both the
// form that transformers 5 writes, with `rope_parameters`, and the form of released checkpoints, with
// `rope_theta` and `rope_scaling`), and can be written as the latter.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace athanor::configs {
struct ModelConfig;
}

namespace athanor::model {

enum class Architecture { kDeepseekV3, kLlama, kQwen2, kQwen3Moe };

/// The Hugging Face `model_type`: "deepseek_v3", "llama", "qwen2", "qwen3_moe".
std::string architecture_name(Architecture architecture);
/// Throws ConfigError listing the known names.
Architecture architecture_from_name(std::string_view name);

enum class RopeScaling { kNone, kLinear, kYarn, kLlama3 };

struct RopeSpec {
  double theta = 10000.0;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1.0;
  int64_t original_max_position_embeddings = 0;
  double beta_fast = 32, beta_slow = 1;              // yarn
  double mscale = 0, mscale_all_dim = 0;             // yarn, 0: not given
  double attention_factor = 0;                       // yarn, 0: derived
  bool truncate = true;                              // yarn: correction range rounded to whole dimensions
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  bool interleaved = false;                          // pairs (2i, 2i+1), as DeepSeek-V3 stores them
};

struct ModelSpec {
  Architecture architecture = Architecture::kDeepseekV3;
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;  ///< of grouped-query attention; unused by latent attention
  int64_t max_position_embeddings = 0;
  double rms_norm_eps = 1e-6;
  double initializer_range = 0.02;
  bool tie_word_embeddings = false;
  bool qkv_bias = false, output_bias = false;
  bool qk_norm = false;           ///< RMS norm of every query and key head (Qwen3)
  int64_t sliding_window = 0;     ///< 0: none
  int64_t max_window_layers = 0;  ///< layers from this one on use the window
  RopeSpec rope;

  // Latent attention (DeepSeek-V3); q_lora_rank 0: queries are not compressed.
  int64_t q_lora_rank = 0, kv_lora_rank = 0;
  int64_t qk_nope_head_dim = 0, qk_rope_head_dim = 0, v_head_dim = 0;

  // Mixture of experts; n_routed_experts 0: dense.
  int64_t n_routed_experts = 0, n_shared_experts = 0, num_experts_per_tok = 0, moe_intermediate_size = 0;
  int64_t n_group = 1, topk_group = 1;
  int64_t first_k_dense_replace = 0;
  int64_t decoder_sparse_step = 1;
  std::vector<int64_t> mlp_only_layers;
  bool norm_topk_prob = true;
  double routed_scaling_factor = 1.0;

  int64_t num_nextn_predict_layers = 0;  ///< depth of multi-token prediction

  int64_t bos_token_id = -1;  ///< -1: none
  std::vector<int64_t> eos_token_ids;

  bool has_latent_attention() const { return architecture == Architecture::kDeepseekV3; }
  bool is_moe_layer(int64_t layer_idx) const;
  int64_t query_head_dim() const {
    return has_latent_attention() ? qk_nope_head_dim + qk_rope_head_dim : head_dim;
  }
  int64_t value_head_dim() const { return has_latent_attention() ? v_head_dim : head_dim; }
  int64_t rotary_dim() const { return has_latent_attention() ? qk_rope_head_dim : head_dim; }
};

/// Every rule a spec must keep, as messages that name both numbers; empty: a model can be built.
std::vector<std::string> problems(const ModelSpec& spec);

/// What of a model that can be built does not divide among `num_ranks` ranks of the tensor axis, likewise;
/// empty: it can be cut.
std::vector<std::string> problems_of_cutting(const ModelSpec& spec, int64_t num_ranks);

/// The network of a `model:` section; `vocab_size` is that of the token shards, for a section that leaves it
/// open.
ModelSpec spec_from_config(const configs::ModelConfig& config, int64_t vocab_size);

/// Parses a config.json; DataError naming `path` when it is not one, asks for what is not supported, or gives
/// a number outside the range that the configuration declares for the option of that name. What it leaves
/// out is what transformers takes for that model_type, except for the sizes that every model states
/// (vocab_size, hidden_size, ...: an error) and the ids of special tokens (none; the tokenizer has them).
ModelSpec spec_from_hf_config(const std::string& json_text, const std::string& path);
/// A config.json that transformers loads.
std::string spec_to_hf_config(const ModelSpec& spec, std::string_view torch_dtype);

/// Parameters in all (at most 2^63 - 1), and those of them that one token passes through in training (without
/// the embedding look-up; of the experts only those it is sent to). Prediction modules count in both; every
/// parameter counts once, however often it is used, so that active is at most total.
struct ParameterCounts {
  int64_t total = 0, active = 0;
};
ParameterCounts count_parameters(const ModelSpec& spec);
/// (query, key) pairs that causal attention visits in documents which begin and end at `document_offsets`.
int64_t attended_pairs(const ModelSpec& spec, const std::vector<int64_t>& document_offsets);
/// FLOP of training on so many tokens: 6 per token and active parameter, once more for the vocabulary matrix
/// in every prediction module, plus attention over the pairs, backward = 2 forward.
double training_flops(const ModelSpec& spec, int64_t num_tokens, int64_t num_pairs);

}  // namespace athanor::model
