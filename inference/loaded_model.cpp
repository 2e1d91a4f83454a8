#include "inference/loaded_model.h"

#include <algorithm>
#include <cmath>

#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include "core/error.h"
#include "kernels/ops.h"

namespace athanor::inference {
namespace {

model::ModelSpec without_prediction_modules(model::ModelSpec spec) {
  spec.num_nextn_predict_layers = 0;
  return spec;
}

void fill(model::Parameter& parameter, WeightSource& source, at::ScalarType dtype, at::Device device) {
  const at::Tensor values = at::empty(parameter.shape, at::kFloat);
  source.read(parameter, 0, {values.mutable_data_ptr<float>(), static_cast<size_t>(values.numel())});
  parameter.value = values.to(dtype).to(device);
}

}  // namespace

LoadedModel::LoadedModel(const model::ModelSpec& spec, WeightSource& source, at::ScalarType dtype,
                         at::Device device)
    : model_(model::build_model(without_prediction_modules(spec))), dtype_(dtype), device_(device) {
  for (model::Parameter* parameter : model::all_parameters(model_)) {
    fill(*parameter, source, dtype, device);
    parameter->pack();
  }
  for (model::Buffer* buffer : model::all_buffers(model_)) {
    source.read(*buffer);
    buffer->value = buffer->value.to(device);
  }
}

at::Tensor LoadedModel::hidden_states(const model::MicroBatch& batch) {
  c10::AutoGradMode recording(false);
  const model::MicroBatch on_device = batch.on(device_);
  model::PassContext pass = model::make_pass(model_, on_device);
  pass.takes_loss = false;
  at::Tensor hidden = at::empty({0}, at::kFloat);
  for (auto& block : model_.blocks) hidden = block->forward(hidden, pass).hidden_tD;
  return hidden;
}

at::Tensor LoadedModel::logits(const at::Tensor& hidden_TD) {
  const at::Tensor logits_TV =
      at::empty({hidden_TD.size(0), spec().vocab_size}, hidden_TD.options().dtype(at::kFloat));
  kernels::matmul(logits_TV, hidden_TD, model_.vocabulary_matrix->packed.front());
  return logits_TV.cpu();
}

model::MicroBatch batch_of_sequences(const model::ModelSpec& spec,
                                     const std::vector<std::vector<int64_t>>& sequences) {
  model::MicroBatch batch;
  batch.document_offsets = {0};
  std::vector<int64_t> ids, positions;
  for (const auto& sequence : sequences) {
    for (size_t position = 0; position < sequence.size(); ++position) {
      if (sequence[position] < 0 || sequence[position] >= spec.vocab_size)
        throw core::DataError("token id {} at position {}: expected 0 to {} (the model's vocabulary)",
                              sequence[position], position, spec.vocab_size - 1);
      ids.push_back(sequence[position]);
      positions.push_back(static_cast<int64_t>(position));
    }
    batch.document_offsets.push_back(static_cast<int64_t>(ids.size()));
  }
  batch.ids_T = at::tensor(ids, at::kLong);
  batch.positions_T = at::tensor(positions, at::kLong);
  batch.rotary = model::rotary_tables(spec, batch.positions_T);
  return batch;
}

void check_finite(std::span<const float> logits, size_t text_idx, size_t position) {
  if (std::ranges::all_of(logits, [](float logit) { return std::isfinite(logit); })) return;
  throw core::DataError(
      "text {}, token {}: the model's logits are not finite; its weights are damaged or too large",
      text_idx + 1, position);
}

}  // namespace athanor::inference
