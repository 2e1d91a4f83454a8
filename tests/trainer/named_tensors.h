// Weights and gradients of a model in training as whole tensors under their Hugging Face names, whatever the
// layout.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "parallel/communicator.h"
#include "tests/trainer/training_harness.h"

namespace athanor::tests {

using NamedTensors = std::map<std::string, at::Tensor>;  // fp32

/// Put together from `shards`, what this rank has of every slice of the store, over all ranks of `world`.
/// Collective; every element must be in exactly one shard.
NamedTensors whole_tensors(Harness& made, const std::vector<at::Tensor>& shards,
                           parallel::Communicator& world);

/// The master weights.
NamedTensors whole_weights(Harness& made, parallel::Communicator& world);

/// The gradients, after the last micro batch.
NamedTensors whole_gradients(Harness& made, parallel::Communicator& world);

}  // namespace athanor::tests
