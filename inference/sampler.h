// Choosing the next token from logits.
#pragma once

#include <cstdint>
#include <span>

namespace athanor::inference {

struct SamplingOptions {
  double temperature = 0;  ///< 0: greedy (the highest logit; of equal ones the lowest id)
  int64_t top_k = 0;       ///< only the k most likely tokens; 0: all
  double top_p = 1;        ///< only the most likely tokens whose probabilities first add up to this
  double min_p = 0;        ///< only tokens at least so likely, relative to the most likely one
  uint64_t seed = 0;
};

/// UsageError naming the option and its range.
void check(const SamplingOptions& options);

/// The token drawn for sequence `sequence` at position `position`: a pure function of its arguments, so that
/// neither batching nor the order of calls shows. Filters apply in the order top-k, top-p, min-p after the
/// temperature.
int64_t sample(std::span<const float> logits, const SamplingOptions& options, uint64_t sequence,
               uint64_t position);

/// log softmax(logits)[token], in fp64.
double log_probability(std::span<const float> logits, int64_t token);

}  // namespace athanor::inference
