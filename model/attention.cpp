#include "model/attention.h"

#include <ATen/TensorOperators.h>

#include "model/collectives.h"
#include "model/functions.h"

namespace athanor::model {
namespace {

// The latent norms of DeepSeek-V3 keep their own epsilon, whatever rms_norm_eps says.
constexpr double kLatentNormEps = 1e-6;

// Of the heads that this rank holds.
AttentionShape attention_shape(const ModelSpec& spec, const Axes& axes, int64_t layer_idx) {
  const int64_t kv_heads = spec.has_latent_attention() ? spec.num_attention_heads : spec.num_key_value_heads;
  const bool has_window = spec.sliding_window > 0 && layer_idx >= spec.max_window_layers;
  return {.num_heads = spec.num_attention_heads / axes.tensor->size(),
          .num_kv_heads = kv_heads / axes.tensor->size(),
          .query_dim = spec.query_head_dim(),
          .value_dim = spec.value_head_dim(),
          .rotary_dim = spec.rotary_dim(),
          .interleaved = spec.rope.interleaved,
          .options = {.softmax_scale = softmax_scale(spec),
                      .sliding_window = has_window ? spec.sliding_window : 0}};
}

// DeepSeek-V2 (arXiv 2405.04434), section 2.1: keys and values are raised from one latent vector per token;
// the part of a key that carries the position is shared by all heads. Queries may pass a latent vector of
// their own. With tensor parallelism every rank makes the latent vectors of its own tokens; what is gathered
// are these, not the wider hidden states.
class LatentAttention : public Attention {
 public:
  LatentAttention(const ModelSpec& spec, const Axes& axes, const std::string& prefix, int64_t layer_idx)
      : tensor_(*axes.tensor),
        layer_idx_(layer_idx),
        kv_rank_(spec.kv_lora_rank),
        shape_(attention_shape(spec, axes, layer_idx)) {
    const int64_t d = spec.hidden_size, heads = spec.num_attention_heads, q_rank = spec.q_lora_rank;
    const std::string base = prefix + ".self_attn.";
    const auto weight = [&](const char* name, int64_t rows, int64_t columns) {
      return Parameter::whole(base + name + ".weight", {rows, columns});
    };
    const auto cut = [&](const char* name, int64_t rows, int64_t columns, size_t dim) {
      return Parameter::cut(base + name + ".weight", {rows, columns}, dim, axes.tensor_share());
    };
    const auto norm = [&](const char* name, int64_t size) {
      return Parameter::whole(base + name + ".weight", {size}, Initialisation::kOnes);
    };
    if (q_rank) {
      q_a_ = weight("q_a_proj", q_rank, d);
      q_a_norm_ = norm("q_a_layernorm", q_rank);
      q_b_ = cut("q_b_proj", heads * shape_.query_dim, q_rank, 0);
    } else {
      q_b_ = cut("q_proj", heads * shape_.query_dim, d, 0);
    }
    kv_a_ = weight("kv_a_proj_with_mqa", kv_rank_ + shape_.rotary_dim, d);
    kv_a_norm_ = norm("kv_a_layernorm", kv_rank_);
    kv_b_ = cut("kv_b_proj", heads * (spec.qk_nope_head_dim + spec.v_head_dim), kv_rank_, 0);
    o_ = cut("o_proj", d, heads * spec.v_head_dim, 1);
  }

  at::Tensor forward(const at::Tensor& x_tD, const PassContext& pass) override {
    const at::Tensor q_input_t =
        has_query_latent() ? normed(linear(x_tD, q_a_), q_a_norm_, pass.remake) : x_tD;
    const at::Tensor q_T = raised(q_input_t, q_b_, pass.remake);
    const at::Tensor kv_a_t = linear(x_tD, kv_a_);
    const at::Tensor latent_t = normed(kv_a_t.narrow(1, 0, kv_rank_), kv_a_norm_, pass.remake);
    const at::Tensor kv_T = raised(latent_t, kv_b_, pass.remake);
    const at::Tensor k_rope_TR = gather_tokens(kv_a_t.narrow(1, kv_rank_, shape_.rotary_dim), tensor_);
    const at::Tensor o_T = latent_attention(q_T, kv_T, k_rope_TR, shape_, pass, layer_idx_);
    return row_parallel_linear(o_T, o_, nullptr, tensor_);
  }

  std::vector<Parameter*> parameters() override {
    if (has_query_latent()) return {&q_a_, &q_a_norm_, &q_b_, &kv_a_, &kv_a_norm_, &kv_b_, &o_};
    return {&q_b_, &kv_a_, &kv_a_norm_, &kv_b_, &o_};
  }

 private:
  bool has_query_latent() const { return !q_a_.shape.empty(); }
  static at::Tensor normed(const at::Tensor& x_t, Parameter& weight, Remake* remake) {
    return remade(remake, rms_norm(x_t, weight, kLatentNormEps),
                  [x_t = x_t.detach(), &weight] { return rms_norm(x_t, weight, kLatentNormEps); });
  }
  at::Tensor raised(const at::Tensor& latent_t, Parameter& weight, Remake* remake) {
    return remade(remake, column_parallel_linear(latent_t, weight, nullptr, tensor_),
                  [latent_t = latent_t.detach(), &weight, &tensor = tensor_] {
                    return column_parallel_linear(latent_t, weight, nullptr, tensor);
                  });
  }

  parallel::Communicator& tensor_;
  int64_t layer_idx_, kv_rank_;
  AttentionShape shape_;
  Parameter q_a_, q_a_norm_, q_b_, kv_a_, kv_a_norm_, kv_b_, o_;
};

class GroupedQueryAttention : public Attention {
 public:
  GroupedQueryAttention(const ModelSpec& spec, const Axes& axes, const std::string& prefix, int64_t layer_idx)
      : tensor_(*axes.tensor),
        layer_idx_(layer_idx),
        norm_eps_(spec.rms_norm_eps),
        shape_(attention_shape(spec, axes, layer_idx)) {
    const int64_t d = spec.hidden_size, dim = spec.head_dim;
    const int64_t q_rows = spec.num_attention_heads * dim, kv_rows = spec.num_key_value_heads * dim;
    const std::string base = prefix + ".self_attn.";
    const auto heads_of = [&](const char* name, std::vector<int64_t> shape) {
      return share_of({base + name, 0, std::move(shape)}, 0, axes.tensor_share());
    };
    qkv_ = Parameter::stacked(base + "qkv_proj.weight", {heads_of("q_proj.weight", {q_rows, d}),
                                                         heads_of("k_proj.weight", {kv_rows, d}),
                                                         heads_of("v_proj.weight", {kv_rows, d})});
    o_ = Parameter::cut(base + "o_proj.weight", {d, q_rows}, 1, axes.tensor_share());
    if (spec.qkv_bias) {
      qkv_bias_ = Parameter::stacked(base + "qkv_proj.bias",
                                     {heads_of("q_proj.bias", {q_rows}), heads_of("k_proj.bias", {kv_rows}),
                                      heads_of("v_proj.bias", {kv_rows})});
      qkv_bias_.initialisation = Initialisation::kZeros;
    }
    if (spec.output_bias) o_bias_ = Parameter::whole(base + "o_proj.bias", {d}, Initialisation::kZeros);
    if (spec.qk_norm) {
      q_norm_ = Parameter::whole(base + "q_norm.weight", {dim}, Initialisation::kOnes);
      k_norm_ = Parameter::whole(base + "k_norm.weight", {dim}, Initialisation::kOnes);
    }
  }

  at::Tensor forward(const at::Tensor& x_tD, const PassContext& pass) override {
    const QkNorm norm = declared(q_norm_) ? QkNorm{&q_norm_, &k_norm_, norm_eps_} : QkNorm{};
    const at::Tensor qkv_T = column_parallel_linear(x_tD, qkv_, declared(qkv_bias_), tensor_);
    const at::Tensor o_T = grouped_query_attention(qkv_T, shape_, norm, pass.batch, layer_idx_);
    return row_parallel_linear(o_T, o_, declared(o_bias_), tensor_);
  }

  std::vector<Parameter*> parameters() override {
    std::vector<Parameter*> all = {&qkv_};
    for (Parameter* optional : {&qkv_bias_, &q_norm_, &k_norm_})
      if (declared(*optional)) all.push_back(optional);
    all.push_back(&o_);
    if (declared(o_bias_)) all.push_back(&o_bias_);
    return all;
  }

 private:
  static Parameter* declared(Parameter& parameter) { return parameter.shape.empty() ? nullptr : &parameter; }

  parallel::Communicator& tensor_;
  int64_t layer_idx_;
  double norm_eps_;
  AttentionShape shape_;
  Parameter qkv_, qkv_bias_, q_norm_, k_norm_, o_, o_bias_;
};

}  // namespace

std::unique_ptr<Attention> make_attention(const ModelSpec& spec, const Axes& axes, const std::string& prefix,
                                          int64_t layer_idx) {
  if (spec.has_latent_attention()) return std::make_unique<LatentAttention>(spec, axes, prefix, layer_idx);
  return std::make_unique<GroupedQueryAttention>(spec, axes, prefix, layer_idx);
}

}  // namespace athanor::model
