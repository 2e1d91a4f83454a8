#include "trainer/training_state.h"

#include "core/error.h"
#include "core/json.h"
#include "inference/part_piece.h"

namespace athanor::trainer {
namespace {

using checkpoints::Dtype;
using checkpoints::SliceToSave;
using nlohmann::json;

constexpr const char* kWeight = "weight";
constexpr const char* kBuffer = "buffer";

Dtype dtype_of(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kBFloat16 ? Dtype::kBF16 : Dtype::kF32;
}

// Calls visit(part, piece, values) for every piece of a named tensor in `values`, which lies along the slice,
// inside `range`.
template <typename Visit>
void for_each_piece(const OptimizerSlice& slice, const parallel::ElementRange& range,
                    const at::Tensor& values, const Visit& visit) {
  for (const auto& piece : slice.layout->pieces(range)) {
    const int64_t first = range.begin - slice.range.begin + piece.slice_begin;
    model::for_each_part(
        *slice.parameters->at(piece.parameter_idx), piece.parameter_begin, piece.parameter_end,
        [&](const model::HfPart& part, int64_t begin, int64_t end, int64_t position) {
          visit(part, inference::piece_of(part, begin, end), values.narrow(0, first + position, end - begin));
        });
  }
}

std::span<std::byte> bytes_of(const at::Tensor& contiguous) {
  return {static_cast<std::byte*>(contiguous.mutable_data_ptr()), static_cast<size_t>(contiguous.nbytes())};
}

// Masters and moments: the optimizer's view of the same slices, by kind.
template <typename Visit>
void for_each_state(const TrainingState& state, const Visit& visit) {
  const auto tensors = state.optimizer.state();
  for (const auto& tensor : tensors) {
    const OptimizerSlice& slice = state.store.slices().at(std::stoul(tensor.slice));
    visit(slice, tensor.kind == "master" ? std::string(kWeight) : tensor.kind, tensor.values);
  }
}

json to_json(const RunCounters& counters, const RunIdentity& identity) {
  return {{"optimizer_steps", counters.optimizer_steps},
          {"skipped_in_a_row", counters.skipped_in_a_row},
          {"best_validation_loss", counters.best_validation_loss},
          {"num_validations", counters.num_validations},
          {"validations_without_improvement", counters.validations_without_improvement},
          {"model_config", identity.model_config},
          {"data_fingerprint", identity.data_fingerprint},
          {"tokenizer_digest", identity.tokenizer_digest},
          {"seed", identity.seed},
          {"sequence_length", identity.sequence_length}};
}

void check_identity(const json& saved, const RunIdentity& identity, const std::string& path) {
  const auto check_same = [&](const char* key, const auto& now, const char* what) {
    if (saved.at(key) == json(now)) return;
    throw core::ConfigError(
        "{}: was made with {} {}, the configuration has {}; continue it with the same one, or start anew "
        "with --resume never and another run.dir",
        path, what, saved.at(key).dump(), json(now).dump());
  };
  if (saved.at("model_config") != json(identity.model_config)) {
    const json before = json::parse(saved.at("model_config").get<std::string>()),
               now = json::parse(identity.model_config);
    for (const auto& [key, value] : now.items())
      if (!before.contains(key) || before.at(key) != value)
        throw core::ConfigError(
            "{}: its model has {} = {}, the configuration asks for {}; use the model of the checkpoint, "
            "or start anew with --resume never and another run.dir",
            path, key, before.value(key, json()).dump(), value.dump());
  }
  check_same("tokenizer_digest", identity.tokenizer_digest, "the tokenizer");
  check_same("seed", identity.seed, "run.seed");
  check_same("sequence_length", identity.sequence_length, "data.sequence_length");
  check_same("data_fingerprint", identity.data_fingerprint, "training shards (data.train) of the digest");
}

}  // namespace

StateSnapshot make_snapshot(const TrainingState& state, const RunCounters& counters,
                            const RunIdentity& identity, const std::string& config_yaml, bool saves_buffers) {
  StateSnapshot result;
  checkpoints::Snapshot& snapshot = result.snapshot;
  const auto on_host = [&](const at::Tensor& values) {
    if (values.is_cpu()) return values;
    return result.host_copies.emplace_back(values.cpu());
  };
  snapshot.progress = {static_cast<uint64_t>(counters.step), static_cast<uint64_t>(counters.consumed_samples),
                       static_cast<uint64_t>(counters.consumed_tokens)};
  snapshot.training_state = to_json(counters, identity).dump();
  snapshot.config = config_yaml;
  for_each_state(state, [&](const OptimizerSlice& slice, const std::string& kind, const at::Tensor& values) {
    for_each_piece(
        slice, slice.shard, on_host(values),
        [&](const model::HfPart& part, const checkpoints::Piece& piece, const at::Tensor& elements) {
          snapshot.slices.push_back(SliceToSave{.name = part.name,
                                                .kind = kind,
                                                .dtype = dtype_of(elements),
                                                .global_shape = inference::shape_of_whole(part),
                                                .box = piece.box,
                                                .begin = piece.begin,
                                                .end = piece.end,
                                                .bytes = bytes_of(elements)});
        });
  });
  if (saves_buffers)
    for (model::Buffer* buffer : model::all_buffers(state.model))
      snapshot.slices.push_back(SliceToSave{.name = buffer->name,
                                            .kind = kBuffer,
                                            .dtype = Dtype::kF32,
                                            .global_shape = buffer->value.sizes().vec(),
                                            .box = {},
                                            .begin = 0,
                                            .end = static_cast<uint64_t>(buffer->value.numel()),
                                            .bytes = bytes_of(on_host(buffer->value))});
  return result;
}

RunCounters restore(const checkpoints::CheckpointReader& reader, TrainingState& state,
                    const RunIdentity& identity) {
  const checkpoints::Manifest& manifest = reader.manifest();
  const json saved = json::parse(manifest.training_state);
  check_identity(saved, identity, reader.path());
  for_each_state(state, [&](const OptimizerSlice& slice, const std::string& kind, const at::Tensor& values) {
    const at::Tensor on_host = values.cpu();  // in host memory, the state itself
    for_each_piece(
        slice, slice.range, on_host,
        [&](const model::HfPart& part, const checkpoints::Piece& piece, const at::Tensor& elements) {
          reader.read_piece(reader.at(part.name, kind), piece, dtype_of(elements), bytes_of(elements));
        });
    if (!values.is_cpu()) at::Tensor(values).copy_(on_host);
  });
  state.store.share_masters();
  for (model::Buffer* buffer : model::all_buffers(state.model)) {
    const at::Tensor on_host = buffer->value.cpu();
    reader.read_range(reader.at(buffer->name, kBuffer), 0, static_cast<uint64_t>(on_host.numel()),
                      Dtype::kF32, bytes_of(on_host));
    if (!buffer->value.is_cpu()) buffer->value.copy_(on_host);
  }

  RunCounters counters{.step = static_cast<int64_t>(manifest.progress.step),
                       .consumed_samples = static_cast<int64_t>(manifest.progress.consumed_samples),
                       .consumed_tokens = static_cast<int64_t>(manifest.progress.consumed_tokens),
                       .optimizer_steps = saved.at("optimizer_steps"),
                       .skipped_in_a_row = saved.at("skipped_in_a_row"),
                       .best_validation_loss = saved.at("best_validation_loss"),
                       .num_validations = saved.at("num_validations"),
                       .validations_without_improvement = saved.at("validations_without_improvement")};
  state.optimizer.set_num_steps(counters.optimizer_steps);
  return counters;
}

}  // namespace athanor::trainer
