// Token-by-token decoding of several sequences with a key/value cache.
//
// On a CPU the kernels are batch-invariant: the logits of a sequence have the same bits whether it is decoded
// alone or beside others, step by step or in one go, and they are those of training.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "inference/loaded_model.h"
#include "model/batch.h"

namespace athanor::inference {

class Decoder {
 public:
  /// `model` outlives the decoder.
  Decoder(LoadedModel& model, size_t num_sequences);

  /// Feeds new tokens to some sequences (at least one token each) and returns the logits after the last token
  /// of each of them, [tokens.size(), V] fp32. `sequences[i]` takes `tokens[i]`; ascending, without
  /// repetition.
  at::Tensor feed(const std::vector<size_t>& sequences, const std::vector<std::vector<int64_t>>& tokens);

  int64_t length(size_t sequence) const { return length_.at(sequence); }

 private:
  model::KvCache select(const std::vector<size_t>& sequences);
  void reserve(size_t sequence, int64_t capacity);

  LoadedModel& model_;
  std::vector<int64_t> length_;
  std::vector<int64_t> capacity_;
  std::vector<model::LayerCache> layers_;
};

}  // namespace athanor::inference
