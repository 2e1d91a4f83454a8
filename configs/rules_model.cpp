#include <algorithm>
#include <map>
#include <set>

#include <fmt/core.h>

#include "configs/field.h"
#include "configs/rule_list.h"

namespace athanor::configs {

namespace {

const std::set<std::string>& options_unused_by(const std::string& architecture) {
  static const std::set<std::string> kLatentAttention = {"q_lora_rank", "kv_lora_rank", "qk_nope_head_dim",
                                                         "qk_rope_head_dim", "v_head_dim"};
  static const std::set<std::string> kDeepseekOnly = [] {
    std::set<std::string> names = kLatentAttention;
    names.insert({"rope_interleave", "n_shared_experts", "n_group", "topk_group", "first_k_dense_replace",
                  "routed_scaling_factor", "num_nextn_predict_layers", "router_bias_update_rate",
                  "mtp_loss_weight", "sequence_aux_loss_weight"});
    return names;
  }();
  static const std::set<std::string> kDense = [] {
    std::set<std::string> names = kDeepseekOnly;
    names.insert({"n_routed_experts", "num_experts_per_tok", "moe_intermediate_size", "norm_topk_prob",
                  "decoder_sparse_step", "mlp_only_layers", "router_aux_loss_coef", "expert_capacity_factor",
                  "expert_capacity_policy"});
    return names;
  }();
  static const std::map<std::string, std::set<std::string>> kUnused = {
      {"deepseek_v3",
       {"head_dim", "sliding_window", "decoder_sparse_step", "mlp_only_layers", "router_aux_loss_coef"}},
      {"qwen3_moe", kDeepseekOnly},
      {"llama", kDense},
      {"qwen2", kDense},
  };
  static const std::set<std::string> kNone;
  const auto found = kUnused.find(architecture);
  return found == kUnused.end() ? kNone : found->second;
}

bool are_equal(const Field& a, const Field& b) {
  return std::visit(
      [](const auto& left, const auto& right) {
        if constexpr (std::is_pointer_v<std::decay_t<decltype(left)>> &&
                      std::is_same_v<decltype(left), decltype(right)>) {
          return *left == *right;
        } else {
          return false;
        }
      },
      a.value, b.value);
}

// The fields in which the two differ although `unused` holds their names.
template <typename Section>
std::vector<std::string> set_in_vain(Section given, Section neutral, const std::set<std::string>& unused) {
  const Fields given_fields = fields_of(given), neutral_fields = fields_of(neutral);
  std::vector<std::string> names;
  for (size_t i = 0; i < given_fields.size(); ++i)
    if (unused.count(given_fields[i].name) && !are_equal(given_fields[i], neutral_fields[i]))
      names.push_back(given_fields[i].name);
  return names;
}

// An option that does nothing must not look as if it did.
void check_unused(const ModelConfig& model, Rules& rules) {
  const ModelConfig neutral = default_model(model.architecture);
  const auto& unused = options_unused_by(model.architecture);
  for (const std::string& name : set_in_vain(model, neutral, unused))
    rules.require(false, {name, "architecture"}, "architecture {} does not use it; remove it",
                  model.architecture);
  const bool has_modules = model.num_nextn_predict_layers > 0 || unused.count("mtp_loss_weight") > 0;
  rules.require(has_modules || model.mtp_loss_weight == neutral.mtp_loss_weight,
                {"mtp_loss_weight", "num_nextn_predict_layers"},
                "{} has no effect without prediction modules; set num_nextn_predict_layers or remove it",
                model.mtp_loss_weight);
}

// mscale_all_dim scales the softmax of latent attention under every scaling.
const std::set<std::string>& options_unused_by_rope_scaling(const std::string& type) {
  static const std::map<std::string, std::set<std::string>> kUnused = {
      {"none",
       {"original_max_position_embeddings", "beta_fast", "beta_slow", "mscale", "mscale_all_dim",
        "low_freq_factor", "high_freq_factor", "attention_factor"}},
      {"linear",
       {"original_max_position_embeddings", "beta_fast", "beta_slow", "mscale", "low_freq_factor",
        "high_freq_factor", "attention_factor"}},
      {"llama3", {"beta_fast", "beta_slow", "mscale", "attention_factor"}},
      {"yarn", {"low_freq_factor", "high_freq_factor"}},
  };
  return kUnused.at(type);
}

void check_latent_attention(const ModelConfig& m, Rules& rules) {
  rules.require(
      m.key_value_heads() == m.num_attention_heads, {"num_key_value_heads", "num_attention_heads"},
      "{} differs from num_attention_heads {}; latent attention has one key head for each query head "
      "(remove it)",
      m.num_key_value_heads, m.num_attention_heads);
  rules.require(m.kv_lora_rank > 0, {"kv_lora_rank"}, "must be at least 1 for deepseek_v3, found 0");
  rules.require(m.qk_nope_head_dim > 0, {"qk_nope_head_dim"}, "must be at least 1 for deepseek_v3, found 0");
  rules.require(m.v_head_dim > 0, {"v_head_dim"}, "must be at least 1 for deepseek_v3, found 0");
  rules.require(m.qk_rope_head_dim > 0 && m.qk_rope_head_dim % 2 == 0, {"qk_rope_head_dim"},
                "must be even and at least 2, since rotary positions turn pairs, found {}",
                m.qk_rope_head_dim);
}

void check_plain_attention(const ModelConfig& m, Rules& rules) {
  rules.require(m.attention_bias || m.architecture != "qwen2", {"attention_bias", "architecture"},
                "false, but qwen2 always has query, key and value biases; choose llama for a model without");
  rules.require(
      m.num_attention_heads % m.key_value_heads() == 0, {"num_attention_heads", "num_key_value_heads"},
      "{} query heads cannot be shared out to {} key and value heads; make one a multiple of the other",
      m.num_attention_heads, m.key_value_heads());
  if (m.head_dim == 0 && m.hidden_size % m.num_attention_heads != 0) {
    return rules.require(false, {"hidden_size", "num_attention_heads", "head_dim"},
                         "{} is not divisible by num_attention_heads {}; change one of them or set head_dim",
                         m.hidden_size, m.num_attention_heads);
  }
  rules.require(m.attention_head_dim() % 2 == 0, {"head_dim", "hidden_size", "num_attention_heads"},
                "a head of width {} (hidden_size {}, {} heads) has no pairs to turn; make it even",
                m.attention_head_dim(), m.hidden_size, m.num_attention_heads);
}

void check_rope_scaling(const ModelConfig& m, Rules& rules) {
  const RopeScalingConfig& rope = m.rope_scaling;
  rules.require(rope.type != "none" || rope.factor == 1.0, {"rope_scaling.factor", "rope_scaling.type"},
                "{} has no effect with rope_scaling.type none; choose a type", rope.factor);
  for (const std::string& name :
       set_in_vain(rope, RopeScalingConfig{}, options_unused_by_rope_scaling(rope.type)))
    rules.require(false, {"rope_scaling." + name, "rope_scaling.type"},
                  "rope_scaling.type {} does not use it; remove it", rope.type);
  rules.require(rope.original_max_position_embeddings <= m.max_position_embeddings,
                {"rope_scaling.original_max_position_embeddings", "max_position_embeddings"},
                "{} is above max_position_embeddings {}; scaling makes the context longer",
                rope.original_max_position_embeddings, m.max_position_embeddings);
  rules.require(rope.type != "yarn" || rope.beta_fast > rope.beta_slow,
                {"rope_scaling.beta_fast", "rope_scaling.beta_slow"}, "{} must be above beta_slow {}",
                rope.beta_fast, rope.beta_slow);
  rules.require(rope.type != "llama3" || rope.high_freq_factor > rope.low_freq_factor,
                {"rope_scaling.high_freq_factor", "rope_scaling.low_freq_factor"},
                "{} must be above low_freq_factor {}", rope.high_freq_factor, rope.low_freq_factor);
}

void check_groups(const ModelConfig& m, Rules& rules) {
  rules.require(m.topk_group <= m.n_group, {"topk_group", "n_group"}, "{} is above n_group {}; lower it",
                m.topk_group, m.n_group);
  if (m.n_routed_experts % m.n_group != 0) {
    return rules.require(false, {"n_group", "n_routed_experts"},
                         "{} groups cannot hold {} routed experts in equal parts; n_group must divide "
                         "n_routed_experts",
                         m.n_group, m.n_routed_experts);
  }
  const int64_t group_experts = m.n_routed_experts / m.n_group;
  if (m.n_group > 1 && group_experts < 2) {
    return rules.require(
        false, {"n_group", "n_routed_experts"},
        "{} groups leave {} of {} experts in each; a group is judged by its two best, so it needs 2",
        m.n_group, group_experts, m.n_routed_experts);
  }
  rules.require(
      m.topk_group > m.n_group || m.num_experts_per_tok <= m.topk_group * group_experts,
      {"num_experts_per_tok", "topk_group", "n_group", "n_routed_experts"},
      "{} is above the {} experts of the topk_group {} groups a token may use; raise topk_group or lower it",
      m.num_experts_per_tok, m.topk_group * group_experts, m.topk_group);
}

void check_experts(const ModelConfig& m, Rules& rules) {
  rules.require(m.is_moe() || m.architecture != "qwen3_moe", {"n_routed_experts"},
                "must be at least 1 for qwen3_moe, found 0; for a dense network choose qwen2 or llama");
  const bool is_used = options_unused_by(m.architecture).count("n_routed_experts") == 0;
  if (!m.is_moe() || !is_used) return;
  rules.require(m.num_experts_per_tok >= 1, {"num_experts_per_tok"}, "must be at least 1, found 0");
  rules.require(m.num_experts_per_tok <= m.n_routed_experts, {"num_experts_per_tok", "n_routed_experts"},
                "{} is above n_routed_experts {}; lower one or raise the other", m.num_experts_per_tok,
                m.n_routed_experts);
  rules.require(m.moe_intermediate_size >= 1, {"moe_intermediate_size"}, "must be at least 1, found 0");
  if (m.num_experts_per_tok <= m.n_routed_experts) check_groups(m, rules);
}

void check_capacity(const ModelConfig& m, Rules& rules) {
  rules.require(m.expert_capacity_factor > 0 || m.expert_capacity_policy == "position",
                {"expert_capacity_policy", "expert_capacity_factor"},
                "{} has no effect without a limit; set expert_capacity_factor or remove it",
                m.expert_capacity_policy);
  const bool is_used = options_unused_by(m.architecture).count("expert_capacity_factor") == 0;
  rules.require(!is_used || m.is_moe() || m.expert_capacity_factor == 0,
                {"expert_capacity_factor", "n_routed_experts"},
                "{} has no effect on a network without routed experts; remove it", m.expert_capacity_factor);
}

void check_layers(const ModelConfig& m, Rules& rules) {
  rules.require(m.first_k_dense_replace <= m.num_hidden_layers,
                {"first_k_dense_replace", "num_hidden_layers"}, "{} is above num_hidden_layers {}; lower it",
                m.first_k_dense_replace, m.num_hidden_layers);
  for (const int64_t layer : m.mlp_only_layers) {
    rules.require(layer < m.num_hidden_layers, {"mlp_only_layers", "num_hidden_layers"},
                  "there is no layer {}; with num_hidden_layers {} the last is {}", layer,
                  m.num_hidden_layers, m.num_hidden_layers - 1);
  }
}

}  // namespace

bool may_stand_beside_from(const std::string& model_option) {
  static const std::set<std::string> kOptions = {"from",
                                                 "mtp_loss_weight",
                                                 "router_bias_update_rate",
                                                 "sequence_aux_loss_weight",
                                                 "router_aux_loss_coef",
                                                 "expert_capacity_factor",
                                                 "expert_capacity_policy"};
  return kOptions.count(model_option) > 0;
}

void check_model_rules(const ModelConfig& model, Violations& violations) {
  // The shape is that of the directory, which whoever loads it checks again by this function.
  if (!model.from.empty()) return;
  Rules rules(violations, "model.");
  check_unused(model, rules);
  if (model.has_latent_attention()) {
    check_latent_attention(model, rules);
  } else {
    check_plain_attention(model, rules);
  }
  check_rope_scaling(model, rules);
  check_experts(model, rules);
  check_capacity(model, rules);
  check_layers(model, rules);
}

}  // namespace athanor::configs
