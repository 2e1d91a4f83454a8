// From the loader's packed sequences to what the blocks take.
#pragma once

#include "data/loader/token_dataset.h"
#include "model/batch.h"
#include "model/spec.h"

namespace athanor::trainer {

/// Copies the batch into tensors and computes its rotary tables.
model::MicroBatch to_micro_batch(const data::Batch& batch, const model::ModelSpec& spec);

}  // namespace athanor::trainer
