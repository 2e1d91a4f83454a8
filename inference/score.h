// Log-probabilities of given texts.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "inference/loaded_model.h"

namespace athanor::inference {

/// For every sequence, the log-probability (nats) of each of its tokens but the first, given those before it.
std::vector<std::vector<float>> score(LoadedModel& model, const std::vector<std::vector<int64_t>>& sequences);

/// Gives the logits of each sequence in turn, [tokens, V] fp32.
void for_each_logits(LoadedModel& model, const std::vector<std::vector<int64_t>>& sequences,
                     const std::function<void(const at::Tensor& logits_TV)>& visit);

}  // namespace athanor::inference
