// The loss on the validation data: one pass over a fixed set, the same micro batches on every layout.
#pragma once

#include <cstdint>
#include <memory>

#include "data/loader/token_dataset.h"
#include "model/blocks.h"
#include "parallel/communicator.h"
#include "trainer/executor.h"

namespace athanor::trainer {

struct ValidatorOptions {
  uint64_t micro_batch_size = 1;
  uint64_t max_sequences = 0;  ///< 0: the whole set
  at::Device device = at::kCPU;
};

class Validator {
 public:
  Validator(model::Model& model, Executor& executor, parallel::Communicator& data,
            std::shared_ptr<const data::TokenDataset> dataset, const ValidatorOptions& options)
      : model_(model), executor_(executor), data_(data), dataset_(std::move(dataset)), options_(options) {}

  /// Mean loss over the labelled tokens, the same bits on every rank. Collective over all ranks.
  double loss();

 private:
  model::Model& model_;
  Executor& executor_;
  parallel::Communicator& data_;
  std::shared_ptr<const data::TokenDataset> dataset_;
  ValidatorOptions options_;
};

}  // namespace athanor::trainer
