// Rotary position embedding: frequencies with their scalings (linear, YaRN, Llama 3), and the tables of a
// micro batch.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "model/spec.h"

namespace athanor::model {

/// Angles per position, fp32 [rotary_dim / 2].
std::vector<float> inverse_frequencies(const RopeSpec& rope, int64_t rotary_dim,
                                       int64_t max_position_embeddings);

/// What cos and sin are multiplied with (YaRN: mscale(factor, mscale) / mscale(factor, mscale_all_dim)); 1
/// otherwise.
double rotary_magnitude(const RopeSpec& rope);

/// 1 / sqrt(query size), times mscale(factor, mscale_all_dim)² for latent attention with scaled positions.
double softmax_scale(const ModelSpec& spec);

struct RotaryTables {
  at::Tensor cos_TR, sin_TR;  ///< fp32 [tokens, rotary_dim / 2]
};
/// positions: [T] int64.
RotaryTables rotary_tables(const ModelSpec& spec, const at::Tensor& positions_T);

}  // namespace athanor::model
