// Choosing experts: one token after the other, the same rules for both families of models.
#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "core/parallel_for.h"
#include "kernels/cpu/mixture_of_experts.h"
#include "kernels/cpu/pieces.h"

namespace athanor::kernels::cpu {
namespace {

constexpr int64_t kTokensPerPiece = 128;
// DeepSeek-V3 adds this to the sum of the chosen scores; Qwen3 divides by the bare sum.
constexpr float kSigmoidNormEpsilon = 1e-20f;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

float norm_epsilon(RouterScore score) {
  return score == RouterScore::kSigmoid ? kSigmoidNormEpsilon : 0.0f;
}

void sigmoid_scores(std::span<float> scores, std::span<const float> logits) {
  for (size_t e = 0; e < scores.size(); ++e) scores[e] = 1.0f / (1.0f + std::exp(-logits[e]));
}

void softmax_scores(std::span<float> scores, std::span<const float> logits) {
  float largest = kMinusInfinity;
  for (float logit : logits) largest = std::max(largest, logit);
  float sum = 0.0f;
  for (size_t e = 0; e < scores.size(); ++e) sum += scores[e] = std::exp(logits[e] - largest);
  for (float& score : scores) score /= sum;
}

// The positions of the largest values, best first; of equal values the lower position wins. NaN ranks as
// minus infinity: a choice is made, and the NaN goes on through the weights.
class TopK {
 public:
  explicit TopK(int64_t k) : best_(static_cast<size_t>(k)) {}

  std::span<const int32_t> find(std::span<const float> values) {
    size_t num_found = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const float value = std::isnan(values[i]) ? kMinusInfinity : values[i];
      if (num_found == best_.size() && !(value > values_[num_found - 1])) continue;
      insert(value, static_cast<int32_t>(i), num_found);
    }
    return {best_.data(), num_found};
  }

 private:
  void insert(float value, int32_t position, size_t& num_found) {
    size_t at = num_found < best_.size() ? num_found++ : num_found - 1;
    for (; at > 0 && value > values_[at - 1]; --at) {
      values_[at] = values_[at - 1];
      best_[at] = best_[at - 1];
    }
    values_[at] = value;
    best_[at] = position;
  }

  std::vector<int32_t> best_;
  std::vector<float> values_ = std::vector<float>(best_.size());
};

// Routes tokens one by one with its own scratch.
class TokenRouter {
 public:
  TokenRouter(const RouterOptions& options, const float* bias, int64_t num_experts)
      : options_(options),
        bias_(bias),
        group_size_(num_experts / options.n_group),
        choice_(static_cast<size_t>(num_experts)),
        group_scores_(static_cast<size_t>(options.n_group)),
        best_experts_(options.num_experts_per_tok),
        best_groups_(options.topk_group),
        best_of_group_(std::min<int64_t>(2, group_size_)) {}

  void route(int32_t* ids, float* weights, std::span<float> scores, std::span<const float> logits) {
    if (options_.score == RouterScore::kSigmoid)
      sigmoid_scores(scores, logits);
    else
      softmax_scores(scores, logits);
    for (size_t e = 0; e < scores.size(); ++e) choice_[e] = scores[e] + (bias_ ? bias_[e] : 0.0f);
    if (options_.n_group > 1) mask_groups();
    const auto chosen = best_experts_.find(choice_);
    std::copy(chosen.begin(), chosen.end(), ids);
    std::sort(ids, ids + options_.num_experts_per_tok);
    weigh(weights, ids, scores);
  }

 private:
  // A group ranks by the sum of its best two biased scores (of its one score when it has one expert).
  void mask_groups() {
    for (int64_t g = 0; g < options_.n_group; ++g) {
      const std::span<const float> group(&choice_[static_cast<size_t>(g * group_size_)],
                                         static_cast<size_t>(group_size_));
      float sum = 0.0f;
      for (int32_t e : best_of_group_.find(group)) sum += group[static_cast<size_t>(e)];
      group_scores_[static_cast<size_t>(g)] = sum;
    }
    is_kept_.assign(group_scores_.size(), false);
    for (int32_t g : best_groups_.find(group_scores_)) is_kept_[static_cast<size_t>(g)] = true;
    for (size_t e = 0; e < choice_.size(); ++e)
      if (!is_kept_[e / static_cast<size_t>(group_size_)]) choice_[e] = kMinusInfinity;
  }

  void weigh(float* weights, const int32_t* ids, std::span<const float> scores) const {
    const int64_t num_chosen = options_.num_experts_per_tok;
    float sum = 0.0f;
    for (int64_t a = 0; a < num_chosen; ++a) sum += weights[a] = scores[static_cast<size_t>(ids[a])];
    const float divisor = options_.norm_topk_prob ? sum + norm_epsilon(options_.score) : 1.0f;
    const auto scale = static_cast<float>(options_.routed_scaling_factor);
    for (int64_t a = 0; a < num_chosen; ++a) weights[a] = weights[a] / divisor * scale;
  }

  const RouterOptions& options_;
  const float* bias_;
  int64_t group_size_;
  std::vector<float> choice_, group_scores_;
  std::vector<bool> is_kept_;
  TopK best_experts_, best_groups_, best_of_group_;
};

// Gradient by the scores that comes through the weights of the chosen experts, added to `dscores`.
void add_weight_gradient(std::span<double> dscores, const float* dweights, const int32_t* ids,
                         const float* scores, const RouterOptions& options) {
  double sum = 0.0, weighted = 0.0;
  for (int64_t a = 0; a < options.num_experts_per_tok; ++a) {
    sum += scores[ids[a]];
    weighted += static_cast<double>(dweights[a]) * scores[ids[a]];
  }
  const double divisor = options.norm_topk_prob ? sum + norm_epsilon(options.score) : 1.0;
  const double shared = options.norm_topk_prob ? weighted / divisor : 0.0;
  for (int64_t a = 0; a < options.num_experts_per_tok; ++a)
    dscores[static_cast<size_t>(ids[a])] += options.routed_scaling_factor * (dweights[a] - shared) / divisor;
}

void scores_backward(float* dlogits, std::span<const double> dscores, const float* scores,
                     RouterScore score) {
  double dot = 0.0;
  for (size_t e = 0; e < dscores.size(); ++e) dot += dscores[e] * scores[e];
  for (size_t e = 0; e < dscores.size(); ++e)
    dlogits[e] =
        static_cast<float>(score == RouterScore::kSigmoid ? dscores[e] * scores[e] * (1.0 - scores[e])
                                                          : scores[e] * (dscores[e] - dot));
}

}  // namespace

void route(const at::Tensor& expert_ids_TA, const at::Tensor& weights_TA, const at::Tensor& scores_TE,
           const at::Tensor& logits_TE, const at::Tensor& bias_E, const RouterOptions& options) {
  const int64_t num_tokens = logits_TE.size(0), num_experts = logits_TE.size(1);
  const int64_t num_chosen = options.num_experts_per_tok;
  auto* ids = expert_ids_TA.data_ptr<int32_t>();
  auto* weights = weights_TA.data_ptr<float>();
  auto* scores = scores_TE.data_ptr<float>();
  const auto* logits = logits_TE.const_data_ptr<float>();
  const float* bias = bias_E.defined() ? bias_E.const_data_ptr<float>() : nullptr;
  core::parallel_for(divide_up(num_tokens, kTokensPerPiece), [&](int64_t piece) {
    TokenRouter router(options, bias, num_experts);
    const int64_t end = std::min(num_tokens, (piece + 1) * kTokensPerPiece);
    for (int64_t t = piece * kTokensPerPiece; t < end; ++t)
      router.route(ids + t * num_chosen, weights + t * num_chosen,
                   {scores + t * num_experts, static_cast<size_t>(num_experts)},
                   {logits + t * num_experts, static_cast<size_t>(num_experts)});
  });
}

void route_backward(const at::Tensor& dlogits_TE, const at::Tensor& dweights_TA, const at::Tensor& dscores_TE,
                    const at::Tensor& expert_ids_TA, const at::Tensor& scores_TE,
                    const RouterOptions& options) {
  const int64_t num_tokens = scores_TE.size(0), num_experts = scores_TE.size(1);
  const int64_t num_chosen = options.num_experts_per_tok;
  auto* dlogits = dlogits_TE.data_ptr<float>();
  const auto* dweights = dweights_TA.const_data_ptr<float>();
  const float* dscores = dscores_TE.defined() ? dscores_TE.const_data_ptr<float>() : nullptr;
  const auto* ids = expert_ids_TA.const_data_ptr<int32_t>();
  const auto* scores = scores_TE.const_data_ptr<float>();
  core::parallel_for(divide_up(num_tokens, kTokensPerPiece), [&](int64_t piece) {
    std::vector<double> dscores_of_token(static_cast<size_t>(num_experts));
    const int64_t end = std::min(num_tokens, (piece + 1) * kTokensPerPiece);
    for (int64_t t = piece * kTokensPerPiece; t < end; ++t) {
      for (int64_t e = 0; e < num_experts; ++e)
        dscores_of_token[static_cast<size_t>(e)] = dscores ? dscores[t * num_experts + e] : 0.0;
      add_weight_gradient(dscores_of_token, dweights + t * num_chosen, ids + t * num_chosen,
                          scores + t * num_experts, options);
      scores_backward(dlogits + t * num_experts, dscores_of_token, scores + t * num_experts, options.score);
    }
  });
}

}  // namespace athanor::kernels::cpu
