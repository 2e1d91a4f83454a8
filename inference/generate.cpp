#include "inference/generate.h"

#include <algorithm>

#include "core/error.h"
#include "inference/decoder.h"

namespace athanor::inference {
namespace {

struct Running {
  size_t prompt_idx;
  std::vector<int64_t> next_tokens;  // to be fed: the prompt, later the token drawn last
};

class Generation {
 public:
  Generation(LoadedModel& model, const std::vector<std::vector<int64_t>>& prompts,
             const GenerateOptions& options, const TokenCallback& on_token)
      : model_(model),
        prompts_(prompts),
        options_(options),
        on_token_(on_token),
        decoder_(model, prompts.size()),
        outputs_(prompts.size()) {}

  std::vector<std::vector<int64_t>> run() {
    while (admit()) {
      std::vector<size_t> sequences;
      std::vector<std::vector<int64_t>> tokens;
      for (const Running& sequence : running_) {
        sequences.push_back(sequence.prompt_idx);
        tokens.push_back(sequence.next_tokens);
      }
      take_tokens(decoder_.feed(sequences, tokens));
    }
    return std::move(outputs_);
  }

 private:
  // Fills free places with waiting prompts; false when nothing is left to do.
  bool admit() {
    while (running_.size() < options_.batch_size && next_prompt_ < prompts_.size()) {
      running_.push_back({next_prompt_, prompts_[next_prompt_]});
      ++next_prompt_;
    }
    return !running_.empty();
  }

  void take_tokens(const at::Tensor& logits_BV) {
    std::vector<Running> still_running;
    const int64_t vocab_size = logits_BV.size(1);
    for (size_t i = 0; i < running_.size(); ++i) {
      const size_t prompt_idx = running_[i].prompt_idx;
      const std::span<const float> logits(
          logits_BV.const_data_ptr<float>() + static_cast<int64_t>(i) * vocab_size,
          static_cast<size_t>(vocab_size));
      check_finite(logits, prompt_idx, static_cast<size_t>(decoder_.length(prompt_idx)) - 1);
      const int64_t token = sample(logits, options_.sampling, prompt_idx, outputs_[prompt_idx].size());
      if (is_stop(token)) continue;
      outputs_[prompt_idx].push_back(token);
      if (on_token_) on_token_(prompt_idx, token);
      if (!is_full(prompt_idx)) still_running.push_back({prompt_idx, {token}});
    }
    running_ = std::move(still_running);
  }

  bool is_stop(int64_t token) const {
    return std::find(options_.stop_tokens.begin(), options_.stop_tokens.end(), token) !=
           options_.stop_tokens.end();
  }
  bool is_full(size_t prompt_idx) const {
    return static_cast<int64_t>(outputs_[prompt_idx].size()) >= options_.max_new_tokens ||
           static_cast<int64_t>(outputs_[prompt_idx].size()) >=
               room_after(model_.spec(), prompts_[prompt_idx].size());
  }

  LoadedModel& model_;
  const std::vector<std::vector<int64_t>>& prompts_;
  const GenerateOptions& options_;
  const TokenCallback& on_token_;
  Decoder decoder_;
  std::vector<Running> running_;
  size_t next_prompt_ = 0;
  std::vector<std::vector<int64_t>> outputs_;
};

}  // namespace

int64_t room_after(const model::ModelSpec& spec, size_t num_prompt_tokens) {
  // The token drawn last is not fed again, so it needs no position.
  return std::max<int64_t>(0, spec.max_position_embeddings - static_cast<int64_t>(num_prompt_tokens) + 1);
}

std::vector<std::vector<int64_t>> generate(LoadedModel& model,
                                           const std::vector<std::vector<int64_t>>& prompts,
                                           const GenerateOptions& options, const TokenCallback& on_token) {
  check(options.sampling);
  if (options.max_new_tokens <= 0) return std::vector<std::vector<int64_t>>(prompts.size());
  for (const auto& prompt : prompts)
    if (prompt.empty())
      throw core::DataError(
          "a prompt without tokens: give at least one token (or a tokenizer that adds one)");
  return Generation(model, prompts, options, on_token).run();
}

}  // namespace athanor::inference
