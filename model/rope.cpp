#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include <ATen/ops/empty.h>

namespace athanor::model {
namespace {

constexpr double kTwoPi = 2.0 * std::numbers::pi;

// Peng et al., "YaRN: Efficient Context Window Extension of Large Language Models", equation 22 generalised.
double yarn_mscale(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

std::vector<double> plain_frequencies(double theta, int64_t rotary_dim) {
  std::vector<double> frequencies(rotary_dim / 2);
  for (size_t i = 0; i < frequencies.size(); ++i)
    frequencies[i] = 1.0 / std::pow(theta, 2.0 * static_cast<double>(i) / static_cast<double>(rotary_dim));
  return frequencies;
}

// Low dimensions turn often and are left alone, high ones are interpolated, with a linear ramp between.
void apply_yarn(std::vector<double>& frequencies, const RopeSpec& rope, int64_t rotary_dim,
                int64_t original_length) {
  const double dim = static_cast<double>(rotary_dim);
  const auto dimension_of = [&](double rotations) {
    return dim * std::log(static_cast<double>(original_length) / (rotations * kTwoPi)) /
           (2.0 * std::log(rope.theta));
  };
  double low = dimension_of(rope.beta_fast), high = dimension_of(rope.beta_slow);
  if (rope.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double interpolated = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] = frequencies[i] / rope.factor * interpolated + frequencies[i] * (1.0 - interpolated);
  }
}

// Llama 3.1: long wavelengths are stretched by the factor, short ones kept, a smooth blend between.
void apply_llama3(std::vector<double>& frequencies, const RopeSpec& rope, int64_t original_length) {
  const double length = static_cast<double>(original_length);
  for (double& frequency : frequencies) {
    const double wavelength = kTwoPi / frequency;
    if (wavelength < length / rope.high_freq_factor) continue;
    if (wavelength > length / rope.low_freq_factor) {
      frequency /= rope.factor;
      continue;
    }
    const double smooth =
        (length / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
    frequency = (1.0 - smooth) * frequency / rope.factor + smooth * frequency;
  }
}

}  // namespace

std::vector<float> inverse_frequencies(const RopeSpec& rope, int64_t rotary_dim,
                                       int64_t max_position_embeddings) {
  std::vector<double> frequencies = plain_frequencies(rope.theta, rotary_dim);
  const int64_t original_length =
      rope.original_max_position_embeddings ? rope.original_max_position_embeddings : max_position_embeddings;
  switch (rope.scaling) {
    case RopeScaling::kNone:
      break;
    case RopeScaling::kLinear:
      for (double& frequency : frequencies) frequency /= rope.factor;
      break;
    case RopeScaling::kYarn:
      apply_yarn(frequencies, rope, rotary_dim, original_length);
      break;
    case RopeScaling::kLlama3:
      apply_llama3(frequencies, rope, original_length);
      break;
  }
  return {frequencies.begin(), frequencies.end()};
}

double rotary_magnitude(const RopeSpec& rope) {
  if (rope.scaling != RopeScaling::kYarn) return 1.0;
  if (rope.attention_factor) return rope.attention_factor;
  if (rope.mscale && rope.mscale_all_dim)
    return yarn_mscale(rope.factor, rope.mscale) / yarn_mscale(rope.factor, rope.mscale_all_dim);
  return yarn_mscale(rope.factor, 1.0);
}

double softmax_scale(const ModelSpec& spec) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(spec.query_head_dim()));
  if (!spec.has_latent_attention() || spec.rope.scaling == RopeScaling::kNone || !spec.rope.mscale_all_dim)
    return scale;
  const double mscale = yarn_mscale(spec.rope.factor, spec.rope.mscale_all_dim);
  return scale * mscale * mscale;
}

RotaryTables rotary_tables(const ModelSpec& spec, const at::Tensor& positions_T) {
  const auto frequencies = inverse_frequencies(spec.rope, spec.rotary_dim(), spec.max_position_embeddings);
  const float magnitude = static_cast<float>(rotary_magnitude(spec.rope));
  const int64_t num_tokens = positions_T.size(0), half = static_cast<int64_t>(frequencies.size());
  RotaryTables tables{at::empty({num_tokens, half}, at::kFloat), at::empty({num_tokens, half}, at::kFloat)};
  const int64_t* positions = positions_T.const_data_ptr<int64_t>();
  float* cos = tables.cos_TR.mutable_data_ptr<float>();
  float* sin = tables.sin_TR.mutable_data_ptr<float>();
  for (int64_t t = 0; t < num_tokens; ++t) {
    for (int64_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(positions[t]) * frequencies[i];
      cos[t * half + i] = std::cos(angle) * magnitude;
      sin[t * half + i] = std::sin(angle) * magnitude;
    }
  }
  return tables;
}

}  // namespace athanor::model
