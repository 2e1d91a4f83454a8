// Generation: prompts in, new tokens out, several sequences at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "inference/loaded_model.h"
#include "inference/sampler.h"

namespace athanor::inference {

struct GenerateOptions {
  SamplingOptions sampling;
  int64_t max_new_tokens = 128;
  std::vector<int64_t> stop_tokens;  ///< a sequence ends before one of these
  size_t batch_size = 16;  ///< sequences decoded together; the next prompt takes a place that falls free
};

/// New tokens that the model's context leaves room for behind a prompt of so many tokens.
int64_t room_after(const model::ModelSpec& spec, size_t num_prompt_tokens);

/// Called with every new token as it comes.
using TokenCallback = std::function<void(size_t prompt_idx, int64_t token)>;

/// New tokens of every prompt (prompts are not empty). A sequence also ends where the model's context does.
std::vector<std::vector<int64_t>> generate(LoadedModel& model,
                                           const std::vector<std::vector<int64_t>>& prompts,
                                           const GenerateOptions& options,
                                           const TokenCallback& on_token = {});

}  // namespace athanor::inference
