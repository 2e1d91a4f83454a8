#include "configs/model_config.h"

namespace athanor::configs {

namespace {

// Grouped-query attention instead of latent attention, halves instead of neighbours in the rotary pairs.
void use_plain_attention(ModelConfig& model) {
  model.rope_interleave = false;
  model.q_lora_rank = 0;
  model.kv_lora_rank = 0;
  model.qk_nope_head_dim = 0;
  model.qk_rope_head_dim = 0;
  model.v_head_dim = 0;
}

void use_no_bias_balancing(ModelConfig& model) {
  model.n_shared_experts = 0;
  model.first_k_dense_replace = 0;
  model.router_bias_update_rate = 0.0;
}

void use_dense_layers(ModelConfig& model) {
  use_no_bias_balancing(model);
  model.n_routed_experts = 0;
  model.num_experts_per_tok = 0;
  model.moe_intermediate_size = 0;
}

}  // namespace

ModelConfig default_model(const std::string& architecture) {
  ModelConfig model;
  if (architecture == "llama" || architecture == "qwen2" || architecture == "qwen3_moe") {
    model.architecture = architecture;
    use_plain_attention(model);
  }
  if (architecture == "llama" || architecture == "qwen2") use_dense_layers(model);
  if (architecture == "qwen2") model.attention_bias = true;
  if (architecture == "qwen3_moe") {
    use_no_bias_balancing(model);
    model.router_aux_loss_coef = 1e-3;
  }
  return model;
}

}  // namespace athanor::configs
