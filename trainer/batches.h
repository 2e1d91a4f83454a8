// From the loader's packed sequences to what the blocks take.
#pragma once

#include "data/loader/token_dataset.h"
#include "model/batch.h"
#include "model/spec.h"

namespace athanor::trainer {

/// Copies the batch into tensors on `device` and computes its rotary tables. DataError names a token id or
/// label outside the model's vocabulary: kernels on a device do not look at them.
model::MicroBatch to_micro_batch(const data::Batch& batch, const model::ModelSpec& spec, at::Device device);

}  // namespace athanor::trainer
