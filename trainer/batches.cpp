#include "trainer/batches.h"

#include <optional>

#include <ATen/ops/tensor.h>

#include "core/error.h"
#include "kernels/ops.h"

namespace athanor::trainer {

namespace {

void check_in_vocabulary(const std::vector<int64_t>& ids, const char* what, int64_t vocab_size,
                         std::optional<int64_t> allowed_beside) {
  for (size_t t = 0; t < ids.size(); ++t)
    if ((ids[t] < 0 || ids[t] >= vocab_size) && ids[t] != allowed_beside)
      throw core::DataError(
          "{} {} at position {} of the micro batch: expected 0..{} (the model's vocabulary); check that the "
          "data "
          "was tokenized with this model's tokenizer",
          what, ids[t], t, vocab_size - 1);
}

}  // namespace

model::MicroBatch to_micro_batch(const data::Batch& batch, const model::ModelSpec& spec, at::Device device) {
  check_in_vocabulary(batch.tokens, "token id", spec.vocab_size, std::nullopt);
  check_in_vocabulary(batch.labels, "label", spec.vocab_size, kernels::kIgnoredLabel);
  model::MicroBatch result;
  result.ids_T = at::tensor(batch.tokens, at::kLong);
  result.labels_T = at::tensor(batch.labels, at::kLong);
  result.positions_T = at::tensor(batch.positions, at::kLong);
  result.document_offsets = batch.document_offsets;
  result.sequence_length = result.ids_T.size(0) / batch.num_sequences;
  result.rotary = model::rotary_tables(spec, result.positions_T);
  return result.on(device);
}

}  // namespace athanor::trainer
