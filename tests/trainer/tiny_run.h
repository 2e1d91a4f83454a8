// The small run that layout tests repeat on every layout: a model with every kind of block, data that is a
// pure function of the micro batch's number, and a fingerprint of the whole state that does not know who
// holds what.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/batch.h"
#include "model/spec.h"
#include "parallel/communicator.h"
#include "tests/trainer/training_harness.h"

namespace athanor::tests {

constexpr int64_t kTinyMicroBatches = 8, kTinySequencesEach = 2, kTinyLength = 24, kTinySteps = 20;

/// Latent attention, dense first layer, shared and routed experts in groups, one prediction module.
model::ModelSpec tiny_moe();

/// Micro batch `m` of step `step` (from 0): a pure function of both, so every layout can make its own share.
model::MicroBatch tiny_data(const model::ModelSpec& spec, int64_t step, int64_t m);

/// The micro batches of `step` that belong to this rank of the data axis.
std::vector<model::MicroBatch> tiny_share(const model::ModelSpec& spec, int64_t step,
                                          parallel::Communicator& data);

HarnessOptions tiny_options(int zero_stage, at::ScalarType dtype, trainer::Recompute recompute);

/// Fills any parameter as the trainer does, the same on every layout.
void tiny_weights(const model::Parameter& parameter, int64_t begin, std::span<float> out);

/// Of all masters and moments on all ranks of `world` together: every element, with the name and place it has
/// in the whole tensor. Collective.
std::string whole_state_digest(const Harness& made, parallel::Communicator& world);

/// Loss, prediction loss, gradient norm, state and router biases after a step, bit for bit.
std::string step_line(Harness& made, const trainer::StepResult& result, parallel::Communicator& world);

}  // namespace athanor::tests
