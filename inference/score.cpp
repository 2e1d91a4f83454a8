#include "inference/score.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include "core/error.h"
#include "kernels/ops.h"

namespace athanor::inference {
namespace {

// Sequences run together; bounds the memory of activations.
constexpr size_t kTokensPerBatch = 4096;

void check_length(const LoadedModel& model, const std::vector<int64_t>& sequence) {
  const int64_t longest = model.spec().max_position_embeddings;
  if (static_cast<int64_t>(sequence.size()) > longest)
    throw core::DataError("a text of {} tokens: the model's context ends at {} (max_position_embeddings)",
                          sequence.size(), longest);
}

std::vector<std::vector<float>> score_batch(LoadedModel& model,
                                            const std::vector<std::vector<int64_t>>& sequences) {
  model::MicroBatch batch = batch_of_sequences(model.spec(), sequences);
  const at::Tensor hidden_TD = model.hidden_states(batch);
  const at::Tensor labels_T = at::empty_like(batch.ids_T),
                   loss_T = at::empty({hidden_TD.size(0)}, hidden_TD.options().dtype(at::kFloat));
  int64_t* label = labels_T.mutable_data_ptr<int64_t>();
  for (const auto& sequence : sequences)
    for (size_t i = 0; i < sequence.size(); ++i)
      *label++ = i + 1 < sequence.size() ? sequence[i + 1] : kernels::kIgnoredLabel;
  kernels::linear_cross_entropy(loss_T, at::Tensor(), hidden_TD, model.model().vocabulary_matrix->value,
                                labels_T.to(model.device()));
  std::vector<std::vector<float>> log_probabilities;
  const at::Tensor losses = loss_T.cpu();
  const float* loss = losses.const_data_ptr<float>();
  for (const auto& sequence : sequences) {
    auto& scores = log_probabilities.emplace_back();
    for (size_t i = 0; i + 1 < sequence.size(); ++i) scores.push_back(-loss[i]);
    loss += sequence.size();
  }
  return log_probabilities;
}

}  // namespace

std::vector<std::vector<float>> score(LoadedModel& model,
                                      const std::vector<std::vector<int64_t>>& sequences) {
  std::vector<std::vector<float>> scores;
  std::vector<std::vector<int64_t>> batch;
  size_t num_tokens = 0;
  const auto flush = [&] {
    if (num_tokens == 0) {
      scores.resize(scores.size() + batch.size());
    } else {
      for (auto& scored : score_batch(model, batch)) scores.push_back(std::move(scored));
    }
    batch.clear();
    num_tokens = 0;
  };
  for (const auto& sequence : sequences) {
    check_length(model, sequence);
    if (num_tokens + sequence.size() > kTokensPerBatch) flush();
    batch.push_back(sequence);
    num_tokens += sequence.size();
  }
  flush();
  for (size_t text = 0; text < scores.size(); ++text)
    for (size_t i = 0; i < scores[text].size(); ++i) check_finite({&scores[text][i], 1}, text, i);
  return scores;
}

void for_each_logits(LoadedModel& model, const std::vector<std::vector<int64_t>>& sequences,
                     const std::function<void(const at::Tensor& logits_TV)>& visit) {
  const auto vocab_size = static_cast<size_t>(model.spec().vocab_size);
  for (size_t text = 0; text < sequences.size(); ++text) {
    const auto& sequence = sequences[text];
    check_length(model, sequence);
    at::Tensor logits_TV = at::empty({0, model.spec().vocab_size}, at::kFloat);
    if (!sequence.empty())
      logits_TV = model.logits(model.hidden_states(batch_of_sequences(model.spec(), {sequence})));
    const float* logits = logits_TV.const_data_ptr<float>();
    for (size_t i = 0; i < sequence.size(); ++i) check_finite({logits + i * vocab_size, vocab_size}, text, i);
    visit(logits_TV);
  }
}

}  // namespace athanor::inference
