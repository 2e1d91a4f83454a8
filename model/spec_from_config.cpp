// The `model:` section as a ModelSpec.
#include "configs/model_config.h"
#include "core/error.h"
#include "model/spec.h"

namespace athanor::model {
namespace {

RopeScaling scaling_of(const std::string& type) {
  if (type == "linear") return RopeScaling::kLinear;
  if (type == "yarn") return RopeScaling::kYarn;
  if (type == "llama3") return RopeScaling::kLlama3;
  ATHANOR_CHECK(type == "none", "rotary scaling {}", type);
  return RopeScaling::kNone;
}

RopeSpec rope_of(const configs::ModelConfig& config) {
  const configs::RopeScalingConfig& scaling = config.rope_scaling;
  RopeSpec rope{.theta = config.rope_theta, .scaling = scaling_of(scaling.type)};
  rope.interleaved = config.has_latent_attention() && config.rope_interleave;
  if (rope.scaling == RopeScaling::kNone) return rope;
  rope.factor = scaling.factor;
  rope.original_max_position_embeddings =
      scaling.original_max_position_embeddings
          ? scaling.original_max_position_embeddings
          : static_cast<int64_t>(static_cast<double>(config.max_position_embeddings) / scaling.factor);
  rope.beta_fast = scaling.beta_fast;
  rope.beta_slow = scaling.beta_slow;
  rope.mscale = scaling.mscale;
  rope.mscale_all_dim = scaling.mscale_all_dim;
  rope.attention_factor = scaling.attention_factor;
  rope.low_freq_factor = scaling.low_freq_factor;
  rope.high_freq_factor = scaling.high_freq_factor;
  return rope;
}

}  // namespace

ModelSpec spec_from_config(const configs::ModelConfig& config, int64_t vocab_size) {
  ModelSpec spec;
  spec.architecture = architecture_from_name(config.architecture);
  spec.vocab_size = config.vocab_size ? config.vocab_size : vocab_size;
  spec.hidden_size = config.hidden_size;
  spec.intermediate_size = config.intermediate_size;
  spec.num_hidden_layers = config.num_hidden_layers;
  spec.num_attention_heads = config.num_attention_heads;
  spec.num_key_value_heads = config.key_value_heads();
  spec.head_dim = config.attention_head_dim();
  spec.max_position_embeddings = config.max_position_embeddings;
  spec.rms_norm_eps = config.rms_norm_eps;
  spec.initializer_range = config.initializer_range;
  spec.tie_word_embeddings = config.tie_word_embeddings;
  spec.qkv_bias = config.attention_bias;
  spec.output_bias = config.attention_bias && spec.architecture != Architecture::kQwen2;
  spec.qk_norm = spec.architecture == Architecture::kQwen3Moe;
  spec.sliding_window = config.sliding_window;
  spec.rope = rope_of(config);
  if (spec.has_latent_attention()) {
    spec.q_lora_rank = config.q_lora_rank;
    spec.kv_lora_rank = config.kv_lora_rank;
    spec.qk_nope_head_dim = config.qk_nope_head_dim;
    spec.qk_rope_head_dim = config.qk_rope_head_dim;
    spec.v_head_dim = config.v_head_dim;
  }
  if (config.is_moe()) {
    spec.n_routed_experts = config.n_routed_experts;
    spec.n_shared_experts = config.n_shared_experts;
    spec.num_experts_per_tok = config.num_experts_per_tok;
    spec.moe_intermediate_size = config.moe_intermediate_size;
    spec.n_group = config.n_group;
    spec.topk_group = config.topk_group;
    spec.first_k_dense_replace = config.first_k_dense_replace;
    spec.decoder_sparse_step = config.decoder_sparse_step;
    spec.mlp_only_layers = config.mlp_only_layers;
    spec.norm_topk_prob = config.norm_topk_prob;
    spec.routed_scaling_factor = config.routed_scaling_factor;
  }
  spec.num_nextn_predict_layers = config.num_nextn_predict_layers;
  return spec;
}

}  // namespace athanor::model
