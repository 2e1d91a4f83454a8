#include "trainer/batches.h"

#include <ATen/ops/tensor.h>

namespace athanor::trainer {

model::MicroBatch to_micro_batch(const data::Batch& batch, const model::ModelSpec& spec) {
  model::MicroBatch result;
  result.ids_T = at::tensor(batch.tokens, at::kLong);
  result.labels_T = at::tensor(batch.labels, at::kLong);
  result.positions_T = at::tensor(batch.positions, at::kLong);
  result.document_offsets = batch.document_offsets;
  result.sequence_length = result.ids_T.size(0) / batch.num_sequences;
  result.rotary = model::rotary_tables(spec, result.positions_T);
  return result;
}

}  // namespace athanor::trainer
