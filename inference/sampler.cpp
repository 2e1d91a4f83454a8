#include "inference/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/error.h"
#include "core/rng.h"

namespace athanor::inference {
namespace {

struct Candidate {
  int64_t token;
  double weight;  // exp((logit - highest) / temperature): relative to the most likely token, which has 1
};

bool more_likely(const Candidate& a, const Candidate& b) {
  return a.weight != b.weight ? a.weight > b.weight : a.token < b.token;
}

std::vector<Candidate> candidates_of(std::span<const float> logits, double temperature) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  std::vector<Candidate> candidates;
  candidates.reserve(logits.size());
  for (size_t token = 0; token < logits.size(); ++token)
    candidates.push_back({static_cast<int64_t>(token), std::exp((logits[token] - highest) / temperature)});
  return candidates;
}

double total_weight(const std::vector<Candidate>& candidates) {
  return std::accumulate(candidates.begin(), candidates.end(), 0.0,
                         [](double sum, const Candidate& candidate) { return sum + candidate.weight; });
}

// Keeps the shortest run of the most likely candidates that holds `top_p` of the weight.
void keep_nucleus(std::vector<Candidate>& sorted, double top_p) {
  const double wanted = top_p * total_weight(sorted);
  double sum = 0;
  size_t kept = 0;
  while (kept < sorted.size() && (kept == 0 || sum < wanted)) sum += sorted[kept++].weight;
  sorted.resize(kept);
}

}  // namespace

void check(const SamplingOptions& options) {
  if (!(options.temperature >= 0))
    throw core::UsageError("temperature {}: expected 0 or more", options.temperature);
  if (options.top_k < 0) throw core::UsageError("top-k {}: expected 0 (all) or more", options.top_k);
  if (!(options.top_p > 0 && options.top_p <= 1))
    throw core::UsageError("top-p {}: expected above 0, up to 1", options.top_p);
  if (!(options.min_p >= 0 && options.min_p < 1))
    throw core::UsageError("min-p {}: expected 0 up to below 1", options.min_p);
}

int64_t sample(std::span<const float> logits, const SamplingOptions& options, uint64_t sequence,
               uint64_t position) {
  if (options.temperature == 0) return std::max_element(logits.begin(), logits.end()) - logits.begin();
  std::vector<Candidate> candidates = candidates_of(logits, options.temperature);
  const bool cuts_tail =
      (options.top_k > 0 && options.top_k < static_cast<int64_t>(candidates.size())) || options.top_p < 1;
  if (cuts_tail) {
    std::sort(candidates.begin(), candidates.end(), more_likely);
    if (options.top_k > 0)
      candidates.resize(std::min<size_t>(candidates.size(), static_cast<size_t>(options.top_k)));
    keep_nucleus(candidates, options.top_p);
  }
  if (options.min_p > 0)
    std::erase_if(candidates, [&](const Candidate& candidate) { return candidate.weight < options.min_p; });

  const core::CounterRng rng(options.seed, "sample");
  double remaining = rng.uniform((sequence << 32) | position) * total_weight(candidates);
  for (const Candidate& candidate : candidates) {
    remaining -= candidate.weight;
    if (remaining < 0) return candidate.token;
  }
  return candidates.back().token;
}

double log_probability(std::span<const float> logits, int64_t token) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - highest);
  return logits[static_cast<size_t>(token)] - highest - std::log(sum);
}

}  // namespace athanor::inference
