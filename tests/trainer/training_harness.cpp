#include "tests/trainer/training_harness.h"

#include <ATen/ops/tensor.h>

#include "core/digest.h"
#include "kernels/ops.h"

namespace athanor::tests {

HarnessAxes HarnessAxes::replicated(parallel::Communicator& data) {
  return {.model = {},
          .replicas = {.dense = data, .dense_cut = data, .expert = data, .expert_cut = data},
          .step = {.data = data, .token = data}};
}

HarnessAxes HarnessAxes::of(parallel::MeshCommunicators& axes) {
  using parallel::Axis;
  return {.model = {.tensor = &axes[Axis::kTensor], .expert = &axes[Axis::kExpert]},
          .replicas = {.dense = axes[Axis::kToken],
                       .dense_cut = axes[Axis::kReplica],
                       .expert = axes[Axis::kExpertToken],
                       .expert_cut = axes[Axis::kExpertReplica]},
          .step = {.data = axes[Axis::kReplica], .token = axes[Axis::kToken]}};
}

namespace {

model::ExpertOptions expert_options(const HarnessOptions& options) {
  model::ExpertOptions experts = options.experts;
  experts.joins_sources = options.is_fast;
  return experts;
}

}  // namespace

Harness::Harness(const model::ModelSpec& spec, const HarnessOptions& options, const HarnessAxes& axes,
                 const trainer::ParameterStore::Reader& reader)
    : model(model::build_model(
          spec, {.balance = options.balance, .experts = expert_options(options), .axes = axes.model})),
      device_(options.device) {
  store = std::make_unique<trainer::ParameterStore>(
      model, axes.replicas,
      trainer::ParameterStoreOptions{.zero_stage = options.zero_stage,
                                     .compute_dtype = options.compute_dtype,
                                     .device = options.device,
                                     .fp8 = options.fp8,
                                     .gathers_fp8 = options.gathers_fp8,
                                     .reduces_once_per_step = options.is_fast});
  store->load(reader);
  place_buffers();
  std::vector<optim::OptimizerSlice> slices;
  for (const auto& slice : store->slices()) {
    const auto decays = [&](const parallel::FlatParameter& p) {
      return options.decays_all || p.shape.size() >= 2;
    };
    slices.push_back(
        {std::to_string(slices.size()), slice.master, slice.layout->ranges(slice.range, decays)});
  }
  optimizer = std::make_unique<optim::AdamWOptimizer>(options.adamw, std::move(slices));
  schedule = std::make_unique<optim::Schedule>(options.schedule);
  executor = std::make_unique<trainer::Executor>(model, *store,
                                                 trainer::Executor::Options{.recompute = options.recompute});
  step = std::make_unique<trainer::TrainStep>(model, *store, *executor, *optimizer, *schedule, axes.step,
                                              trainer::TrainStepOptions{.grad_clip = options.grad_clip});
}

void Harness::place_buffers() {
  for (model::Buffer* buffer : model::all_buffers(model)) buffer->value = buffer->value.to(device_);
}

std::string Harness::state_digest() const {
  core::Digest digest;
  for (const auto& state : optimizer->state()) {
    const at::Tensor values = state.values.cpu();
    digest.update(
        {static_cast<const std::byte*>(values.const_data_ptr()), static_cast<size_t>(values.nbytes())});
  }
  return digest.hex();
}

model::MicroBatch micro_batch(const model::ModelSpec& spec, const std::vector<int64_t>& ids,
                              const std::vector<int64_t>& labels, int64_t sequence_length) {
  model::MicroBatch batch;
  std::vector<int64_t> positions;
  for (size_t t = 0; t < ids.size(); ++t) {
    if (static_cast<int64_t>(t) % sequence_length == 0)
      batch.document_offsets.push_back(static_cast<int64_t>(t));
    positions.push_back(static_cast<int64_t>(t) % sequence_length);
  }
  batch.document_offsets.push_back(static_cast<int64_t>(ids.size()));
  batch.ids_T = at::tensor(ids, at::kLong);
  batch.labels_T = at::tensor(labels, at::kLong);
  batch.positions_T = at::tensor(positions, at::kLong);
  batch.sequence_length = sequence_length;
  batch.rotary = model::rotary_tables(spec, batch.positions_T);
  return batch;
}

}  // namespace athanor::tests
