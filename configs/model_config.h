// The `model` section: which network is trained. Options are named as in Hugging Face config.json.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "configs/option.h"

namespace athanor::configs {

/// How rotary positions are stretched beyond the length the network was trained on.
struct RopeScalingConfig {
  std::string type = "none";
  double factor = 1.0;
  int64_t original_max_position_embeddings = 0;
  double beta_fast = 32.0;
  double beta_slow = 1.0;
  double mscale = 1.0;
  double mscale_all_dim = 1.0;
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  double attention_factor = 0.0;

  static void describe(auto& section, auto& visit) {
    visit("type", section.type,
          {.meaning = "how rotary positions are stretched to longer contexts",
           .choices = {"none", "yarn", "llama3", "linear"}});
    visit("factor", section.factor,
          {.meaning = "new context length divided by the original one", .minimum = 1, .maximum = 1e6});
    visit("original_max_position_embeddings", section.original_max_position_embeddings,
          {.meaning = "context length before stretching (0: max_position_embeddings / factor)",
           .unit = "tokens",
           .minimum = 0,
           .maximum = 1 << 30});
    visit("beta_fast", section.beta_fast,
          {.meaning = "yarn: dimensions that turn more often than this are left alone",
           .unit = "rotations",
           .minimum = 0,
           .above_minimum = true});
    visit("beta_slow", section.beta_slow,
          {.meaning = "yarn: dimensions that turn less often than this are fully interpolated",
           .unit = "rotations",
           .minimum = 0,
           .above_minimum = true});
    visit("mscale", section.mscale,
          {.meaning = "yarn: temperature of the rotary part (0: the plain YaRN formula)", .minimum = 0});
    visit("mscale_all_dim", section.mscale_all_dim,
          {.meaning = "yarn: temperature of all dimensions, through the softmax scale (0: none)",
           .minimum = 0});
    visit("low_freq_factor", section.low_freq_factor,
          {.meaning = "llama3: wavelengths above original length / this are fully interpolated",
           .minimum = 0,
           .above_minimum = true});
    visit("high_freq_factor", section.high_freq_factor,
          {.meaning = "llama3: wavelengths below original length / this are left alone",
           .minimum = 0,
           .above_minimum = true});
    visit("attention_factor", section.attention_factor,
          {.meaning = "yarn: factor on the cosines and sines (0: derived from factor and mscale)",
           .minimum = 0});
  }

  bool operator==(const RopeScalingConfig&) const = default;
};

/// The initialisers are those of `deepseek_v3`; `default_model(architecture)` gives the others.
struct ModelConfig {
  std::string from;
  std::string architecture = "deepseek_v3";
  int64_t vocab_size = 0;
  int64_t hidden_size = 256;
  int64_t intermediate_size = 704;
  int64_t num_hidden_layers = 4;
  int64_t num_attention_heads = 4;
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;
  int64_t max_position_embeddings = 4096;
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000.0;
  RopeScalingConfig rope_scaling;
  bool rope_interleave = true;
  bool tie_word_embeddings = false;
  bool attention_bias = false;
  double initializer_range = 0.02;
  int64_t sliding_window = 0;

  int64_t n_routed_experts = 16;
  int64_t n_shared_experts = 1;
  int64_t num_experts_per_tok = 2;
  int64_t moe_intermediate_size = 128;
  int64_t n_group = 1;
  int64_t topk_group = 1;
  int64_t first_k_dense_replace = 1;
  double routed_scaling_factor = 1.0;
  bool norm_topk_prob = true;
  int64_t decoder_sparse_step = 1;
  std::vector<int64_t> mlp_only_layers;
  double expert_capacity_factor = 0.0;
  std::string expert_capacity_policy = "position";

  int64_t q_lora_rank = 0;
  int64_t kv_lora_rank = 64;
  int64_t qk_nope_head_dim = 32;
  int64_t qk_rope_head_dim = 32;
  int64_t v_head_dim = 64;

  int64_t num_nextn_predict_layers = 0;
  double mtp_loss_weight = 0.3;
  double router_bias_update_rate = 1e-3;
  double sequence_aux_loss_weight = 0.0;
  double router_aux_loss_coef = 0.0;

  /// num_key_value_heads with 0 resolved.
  int64_t key_value_heads() const {
    return num_key_value_heads == 0 ? num_attention_heads : num_key_value_heads;
  }
  /// head_dim with 0 resolved (llama, qwen2, qwen3_moe; latent attention has its own three sizes).
  int64_t attention_head_dim() const {
    return head_dim == 0 && num_attention_heads > 0 ? hidden_size / num_attention_heads : head_dim;
  }
  bool is_moe() const { return n_routed_experts > 0; }
  bool has_latent_attention() const { return architecture == "deepseek_v3"; }

  static void describe(auto& section, auto& visit) {
    describe_shape(section, visit);
    describe_experts(section, visit);
    describe_latent_attention(section, visit);
    describe_losses(section, visit);
  }

  bool operator==(const ModelConfig&) const = default;

 private:
  static constexpr double kMaxSize = 1 << 20;

  static void describe_shape(auto& section, auto& visit) {
    visit(
        "from", section.from,
        {.meaning = "directory to load weights and shape from: a Hugging Face model or an Athanor checkpoint "
                    "(empty: new weights)"});
    visit("architecture", section.architecture,
          {.meaning = "family of networks", .choices = {"deepseek_v3", "llama", "qwen2", "qwen3_moe"}});
    visit("vocab_size", section.vocab_size,
          {.meaning = "rows of the embedding (0: the vocabulary size that the token shards name)",
           .unit = "tokens",
           .minimum = 0,
           .maximum = 1 << 24});
    visit("hidden_size", section.hidden_size,
          {.meaning = "width of the residual stream", .minimum = 1, .maximum = kMaxSize});
    visit("intermediate_size", section.intermediate_size,
          {.meaning = "width of a dense feed-forward layer", .minimum = 1, .maximum = kMaxSize});
    visit("num_hidden_layers", section.num_hidden_layers,
          {.meaning = "decoder layers", .unit = "layers", .minimum = 1, .maximum = 4096});
    visit("num_attention_heads", section.num_attention_heads,
          {.meaning = "query heads", .unit = "heads", .minimum = 1, .maximum = 65536});
    visit("num_key_value_heads", section.num_key_value_heads,
          {.meaning = "key and value heads shared by groups of query heads (0: one for each query head)",
           .unit = "heads",
           .minimum = 0,
           .maximum = 65536});
    visit("head_dim", section.head_dim,
          {.meaning = "width of one head (0: hidden_size / num_attention_heads)",
           .minimum = 0,
           .maximum = kMaxSize});
    visit("max_position_embeddings", section.max_position_embeddings,
          {.meaning = "longest context the network is made for",
           .unit = "tokens",
           .minimum = 1,
           .maximum = 1 << 30});
    visit("rms_norm_eps", section.rms_norm_eps,
          {.meaning = "added to the mean square in every RMSNorm",
           .minimum = 0,
           .maximum = 1,
           .above_minimum = true});
    visit("rope_theta", section.rope_theta,
          {.meaning = "base of the rotary frequencies", .minimum = 1, .maximum = 1e12});
    visit("rope_scaling", section.rope_scaling, {.meaning = "stretching of rotary positions"});
    visit(
        "rope_interleave", section.rope_interleave,
        {.meaning = "rotary pairs are neighbours (2i, 2i+1) in the stored weights, not halves (i, i + d/2)"});
    visit("tie_word_embeddings", section.tie_word_embeddings,
          {.meaning = "embedding and output projection share their weights"});
    visit("attention_bias", section.attention_bias,
          {.meaning = "biases on the attention projections (qwen2: query, key and value only)"});
    visit(
        "initializer_range", section.initializer_range,
        {.meaning = "standard deviation of new weights", .minimum = 0, .maximum = 10, .above_minimum = true});
    visit("sliding_window", section.sliding_window,
          {.meaning = "a token sees only so many tokens back, itself included (0: all)",
           .unit = "tokens",
           .minimum = 0,
           .maximum = 1 << 30,
           .word_for_zero = "null"});
  }

  static void describe_experts(auto& section, auto& visit) {
    visit("n_routed_experts", section.n_routed_experts,
          {.meaning = "experts of one layer, of which the router picks (0: a dense network)",
           .unit = "experts",
           .minimum = 0,
           .maximum = 65536});
    visit("n_shared_experts", section.n_shared_experts,
          {.meaning = "experts that every token passes, as one feed-forward of so many times the width",
           .unit = "experts",
           .minimum = 0,
           .maximum = 1024});
    visit("num_experts_per_tok", section.num_experts_per_tok,
          {.meaning = "routed experts that each token passes",
           .unit = "experts",
           .minimum = 0,
           .maximum = 1024});
    visit("moe_intermediate_size", section.moe_intermediate_size,
          {.meaning = "width of one expert", .minimum = 0, .maximum = kMaxSize});
    visit("n_group", section.n_group,
          {.meaning = "groups the experts are divided into for group-limited routing",
           .unit = "groups",
           .minimum = 1,
           .maximum = 65536});
    visit("topk_group", section.topk_group,
          {.meaning = "groups a token may use", .unit = "groups", .minimum = 1, .maximum = 65536});
    visit("first_k_dense_replace", section.first_k_dense_replace,
          {.meaning = "first layers that are dense instead of MoE",
           .unit = "layers",
           .minimum = 0,
           .maximum = 4096});
    visit(
        "routed_scaling_factor", section.routed_scaling_factor,
        {.meaning = "factor on the sum of the routed experts' outputs", .minimum = 0, .above_minimum = true});
    visit("norm_topk_prob", section.norm_topk_prob,
          {.meaning = "the weights of the chosen experts are scaled to sum to 1"});
    visit("decoder_sparse_step", section.decoder_sparse_step,
          {.meaning = "every so many layers one is MoE", .unit = "layers", .minimum = 1, .maximum = 4096});
    visit("mlp_only_layers", section.mlp_only_layers,
          {.meaning = "layers, counted from 0, that are dense whatever decoder_sparse_step says",
           .minimum = 0,
           .maximum = 4095});
    describe_capacity(section, visit);
  }

  static void describe_capacity(auto& section, auto& visit) {
    visit("expert_capacity_factor", section.expert_capacity_factor,
          {.meaning =
               "training: an expert takes at most so many times its even share of a micro batch's choices, "
               "the others are dropped (0: no limit, nothing is dropped)",
           .minimum = 0,
           .maximum = 65536});
    visit("expert_capacity_policy", section.expert_capacity_policy,
          {.meaning =
               "which of too many choices an expert keeps: the first tokens, or the highest routing weights",
           .choices = {"position", "score"}});
  }

  static void describe_latent_attention(auto& section, auto& visit) {
    visit("q_lora_rank", section.q_lora_rank,
          {.meaning = "width of the compressed query (0: queries are not compressed)",
           .minimum = 0,
           .maximum = kMaxSize,
           .word_for_zero = "null"});
    visit("kv_lora_rank", section.kv_lora_rank,
          {.meaning = "width of the compressed keys and values, which is what the cache holds",
           .minimum = 0,
           .maximum = kMaxSize});
    visit("qk_nope_head_dim", section.qk_nope_head_dim,
          {.meaning = "width of a query or key head without position", .minimum = 0, .maximum = kMaxSize});
    visit(
        "qk_rope_head_dim", section.qk_rope_head_dim,
        {.meaning = "width of a query or key head with rotary position", .minimum = 0, .maximum = kMaxSize});
    visit("v_head_dim", section.v_head_dim,
          {.meaning = "width of a value head", .minimum = 0, .maximum = kMaxSize});
  }

  static void describe_losses(auto& section, auto& visit) {
    visit("num_nextn_predict_layers", section.num_nextn_predict_layers,
          {.meaning = "multi-token prediction modules, each predicting one token further",
           .unit = "layers",
           .minimum = 0,
           .maximum = 16});
    visit("mtp_loss_weight", section.mtp_loss_weight,
          {.meaning = "weight of the mean loss of the multi-token prediction modules",
           .minimum = 0,
           .maximum = 100});
    visit("router_bias_update_rate", section.router_bias_update_rate,
          {.meaning = "how far a router bias moves each step towards equal expert load (0: fixed biases)",
           .minimum = 0,
           .maximum = 1});
    visit("sequence_aux_loss_weight", section.sequence_aux_loss_weight,
          {.meaning = "weight of the sequence-wise load-balancing loss (0: off)",
           .minimum = 0,
           .maximum = 100});
    visit("router_aux_loss_coef", section.router_aux_loss_coef,
          {.meaning = "qwen3_moe: weight of the load-balancing loss (0: off)", .minimum = 0, .maximum = 100});
  }
};

/// The values that `architecture` starts from when a configuration does not give them. Options that the
/// architecture has no use for are 0 or neutral. An unknown name gives those of deepseek_v3.
ModelConfig default_model(const std::string& architecture);

}  // namespace athanor::configs
