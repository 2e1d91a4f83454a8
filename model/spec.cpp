#include "model/spec.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "core/error.h"

namespace athanor::model {
namespace {

constexpr std::array kArchitectures = {
    std::pair{Architecture::kDeepseekV3, std::string_view("deepseek_v3")},
    std::pair{Architecture::kLlama, std::string_view("llama")},
    std::pair{Architecture::kQwen2, std::string_view("qwen2")},
    std::pair{Architecture::kQwen3Moe, std::string_view("qwen3_moe")},
};

int64_t attention_parameters(const ModelSpec& s) {
  const int64_t d = s.hidden_size, h = s.num_attention_heads;
  if (s.has_latent_attention()) {
    const int64_t q = s.q_lora_rank
                          ? d * s.q_lora_rank + s.q_lora_rank + s.q_lora_rank * h * s.query_head_dim()
                          : d * h * s.query_head_dim();
    const int64_t kv = d * (s.kv_lora_rank + s.qk_rope_head_dim) + s.kv_lora_rank +
                       s.kv_lora_rank * h * (s.qk_nope_head_dim + s.v_head_dim);
    return q + kv + h * s.v_head_dim * d;
  }
  const int64_t qkv_rows = (h + 2 * s.num_key_value_heads) * s.head_dim;
  return qkv_rows * d + (s.qkv_bias ? qkv_rows : 0) + h * s.head_dim * d + (s.output_bias ? d : 0) +
         (s.qk_norm ? 2 * s.head_dim : 0);
}

// {all, active} parameters of one decoder layer's feed-forward part.
std::pair<int64_t, int64_t> mlp_parameters(const ModelSpec& s, int64_t layer_idx) {
  if (!s.is_moe_layer(layer_idx)) {
    const int64_t dense = 3 * s.hidden_size * s.intermediate_size;
    return {dense, dense};
  }
  const int64_t expert = 3 * s.hidden_size * s.moe_intermediate_size;
  const int64_t router = s.hidden_size * s.n_routed_experts;
  return {router + expert * (s.n_routed_experts + s.n_shared_experts),
          router + expert * (s.num_experts_per_tok + s.n_shared_experts)};
}

}  // namespace

std::string architecture_name(Architecture architecture) {
  for (const auto& [value, name] : kArchitectures)
    if (value == architecture) return std::string(name);
  ATHANOR_CHECK(false, "an architecture without a name");
}

Architecture architecture_from_name(std::string_view name) {
  std::string known;
  for (const auto& [value, known_name] : kArchitectures) {
    if (known_name == name) return value;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", known_name);
  }
  throw core::ConfigError("architecture {}: expected one of {}", name, known);
}

bool ModelSpec::is_moe_layer(int64_t layer_idx) const {
  if (n_routed_experts == 0 || layer_idx < first_k_dense_replace) return false;
  if (std::find(mlp_only_layers.begin(), mlp_only_layers.end(), layer_idx) != mlp_only_layers.end())
    return false;
  return (layer_idx + 1) % decoder_sparse_step == 0;
}

std::vector<std::string> problems(const ModelSpec& s) {
  std::vector<std::string> found;
  const auto require = [&](bool holds, std::string message) {
    if (!holds) found.push_back(std::move(message));
  };
  const auto positive = [&](int64_t value, const char* name) {
    if (value <= 0) found.push_back(fmt::format("{} is {}: expected a positive number", name, value));
    return value > 0;
  };
  bool sizes_hold = positive(s.vocab_size, "vocab_size") & positive(s.hidden_size, "hidden_size") &
                    positive(s.num_hidden_layers, "num_hidden_layers") &
                    positive(s.num_attention_heads, "num_attention_heads") &
                    positive(s.intermediate_size, "intermediate_size") &
                    positive(s.max_position_embeddings, "max_position_embeddings");
  if (s.has_latent_attention()) {
    sizes_hold &= positive(s.kv_lora_rank, "kv_lora_rank") &
                  positive(s.qk_nope_head_dim, "qk_nope_head_dim") &
                  positive(s.qk_rope_head_dim, "qk_rope_head_dim") & positive(s.v_head_dim, "v_head_dim");
    require(s.q_lora_rank >= 0,
            fmt::format("q_lora_rank is {}: expected 0 (no compression) or more", s.q_lora_rank));
  } else if (positive(s.num_key_value_heads, "num_key_value_heads") & positive(s.head_dim, "head_dim")) {
    require(s.num_attention_heads % s.num_key_value_heads == 0,
            fmt::format("num_attention_heads {} is not a multiple of num_key_value_heads {}",
                        s.num_attention_heads, s.num_key_value_heads));
  } else {
    sizes_hold = false;
  }
  if (sizes_hold)
    require(s.rotary_dim() % 2 == 0,
            fmt::format("the rotary size {} is odd: rotary embedding turns pairs", s.rotary_dim()));
  if (s.n_routed_experts > 0) {
    positive(s.moe_intermediate_size, "moe_intermediate_size");
    require(s.num_experts_per_tok >= 1 && s.num_experts_per_tok <= s.n_routed_experts,
            fmt::format("num_experts_per_tok {} is not between 1 and n_routed_experts {}",
                        s.num_experts_per_tok, s.n_routed_experts));
    require(
        s.n_group >= 1 && s.n_routed_experts % s.n_group == 0,
        fmt::format("n_routed_experts {} is not a multiple of n_group {}", s.n_routed_experts, s.n_group));
    require(s.topk_group >= 1 && s.topk_group <= s.n_group,
            fmt::format("topk_group {} is not between 1 and n_group {}", s.topk_group, s.n_group));
    if (s.n_group >= 1)
      require(
          s.num_experts_per_tok <= s.topk_group * (s.n_routed_experts / s.n_group),
          fmt::format("num_experts_per_tok {} is more than the {} experts in topk_group {} groups",
                      s.num_experts_per_tok, s.topk_group * (s.n_routed_experts / s.n_group), s.topk_group));
    require(s.decoder_sparse_step >= 1,
            fmt::format("decoder_sparse_step is {}: expected 1 or more", s.decoder_sparse_step));
  }
  require(s.rms_norm_eps > 0, fmt::format("rms_norm_eps is {}: expected more than 0", s.rms_norm_eps));
  return found;
}

std::vector<std::string> problems_of_cutting(const ModelSpec& s, int64_t num_ranks) {
  std::vector<std::string> found;
  const auto divides = [&](int64_t size, const char* name) {
    if (size % num_ranks != 0)
      found.push_back(fmt::format("parallel.tensor {} does not divide {} {}", num_ranks, name, size));
  };
  divides(s.vocab_size, "vocab_size");
  divides(s.num_attention_heads, "num_attention_heads");
  if (!s.has_latent_attention()) divides(s.num_key_value_heads, "num_key_value_heads");
  bool has_dense = false, has_moe = false;
  for (int64_t i = 0; i < s.num_hidden_layers + s.num_nextn_predict_layers; ++i)
    (s.is_moe_layer(i) ? has_moe : has_dense) = true;
  if (has_dense) divides(s.intermediate_size, "intermediate_size");
  if (has_moe)
    divides(s.moe_intermediate_size * s.n_shared_experts, "moe_intermediate_size x n_shared_experts =");
  return found;
}

ParameterCounts count_parameters(const ModelSpec& s) {
  const int64_t embedding = s.vocab_size * s.hidden_size;
  const int64_t head = s.tie_word_embeddings ? 0 : embedding;
  ParameterCounts counts{embedding + head + s.hidden_size, embedding + s.hidden_size};
  const auto add = [](int64_t& sum, int64_t more) {
    if (__builtin_add_overflow(sum, more, &sum)) sum = std::numeric_limits<int64_t>::max();
  };
  const int64_t per_layer = attention_parameters(s) + 2 * s.hidden_size;
  for (int64_t i = 0; i < s.num_hidden_layers + s.num_nextn_predict_layers; ++i) {
    const auto [all, active] = mlp_parameters(s, i);
    add(counts.total, per_layer + all);
    add(counts.active, per_layer + active);
  }
  // A prediction module adds its projection of two hidden states and three norms.
  const int64_t module = 2 * s.hidden_size * s.hidden_size + 3 * s.hidden_size;
  add(counts.total, s.num_nextn_predict_layers * module);
  add(counts.active, s.num_nextn_predict_layers * module);
  return counts;
}

int64_t attended_pairs(const ModelSpec& s, const std::vector<int64_t>& document_offsets) {
  int64_t pairs = 0;
  for (size_t i = 1; i < document_offsets.size(); ++i) {
    const int64_t length = document_offsets[i] - document_offsets[i - 1];
    const int64_t window = s.sliding_window > 0 ? std::min(length, s.sliding_window) : length;
    pairs += window * (window + 1) / 2 + (length - window) * window;
  }
  return pairs;
}

double training_flops(const ModelSpec& s, int64_t num_tokens, int64_t num_pairs) {
  const double layers = static_cast<double>(s.num_hidden_layers + s.num_nextn_predict_layers);
  const double per_pair = layers * static_cast<double>(s.num_attention_heads) * 2.0 *
                          static_cast<double>(s.query_head_dim() + s.value_head_dim());
  // Every prediction module projects to the vocabulary once more, with the matrix that the model has anyway.
  const int64_t projections = s.num_nextn_predict_layers * s.vocab_size * s.hidden_size;
  const double per_token = static_cast<double>(count_parameters(s).active + projections);
  return 6.0 * per_token * static_cast<double>(num_tokens) + 3.0 * per_pair * static_cast<double>(num_pairs);
}

}  // namespace athanor::model
