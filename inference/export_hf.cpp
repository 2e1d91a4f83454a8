#include "inference/export_hf.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <unordered_map>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include "checkpoints/checkpoint_directory.h"
#include "checkpoints/manifest.h"
#include "checkpoints/weights_directory.h"
#include "core/error.h"
#include "core/file_system.h"
#include "core/json.h"
#include "model/blocks.h"

namespace athanor::inference {
namespace {

namespace fs = std::filesystem;
using checkpoints::Dtype;
using checkpoints::TensorInfo;

struct Place {
  const model::Parameter* parameter;
  const model::HfPart* part;
};

// One tensor of the output, read in the stored precision and cast.
at::Tensor read_part(WeightSource& weights, const Place& place, at::ScalarType dtype) {
  at::Tensor values = at::empty(place.part->shape, at::kFloat);
  weights.read(*place.parameter, place.part->begin,
               {values.mutable_data_ptr<float>(), static_cast<size_t>(values.numel())});
  return values.to(dtype);
}

std::span<const std::byte> bytes_of(const at::Tensor& values) {
  return {static_cast<const std::byte*>(values.const_data_ptr()), static_cast<size_t>(values.nbytes())};
}

std::string generation_config(const ModelFiles& files) {
  nlohmann::json config = {{"_from_model_config", true}};
  if (files.spec.bos_token_id >= 0) config["bos_token_id"] = files.spec.bos_token_id;
  if (!files.eos_token_ids.empty()) config["eos_token_id"] = files.eos_token_ids;
  return config.dump(2) + "\n";
}

bool is_run(const fs::path& directory) {
  return fs::exists(directory / "config.yaml") &&
         (fs::exists(directory / "checkpoints") || fs::exists(directory / "metrics.jsonl"));
}

bool is_checkpoint(const fs::path& directory) {
  return fs::exists(directory / checkpoints::kManifestName);
}

// Exports may be named as checkpoints are, so a name alone makes none.
bool holds_checkpoints(const fs::path& directory) {
  if (directory.filename() == "checkpoints" && is_run(directory.parent_path())) return true;
  if (!fs::is_directory(directory)) return false;
  const auto named = checkpoints::list_checkpoints(core::posix_file_system(), directory.string());
  return std::ranges::any_of(named, [](const auto& entry) { return is_checkpoint(entry.path); });
}

// Half-done, an export onto its model would be neither the old one nor the new one; and a directory is one
// thing: a run that held an export, too, would be taken for the export from then on.
void check_output(const ModelFiles& files, const std::string& output) {
  const auto refuse = [&](std::string_view what) {
    throw core::UsageError("--output {} {}; give another directory", output, what);
  };
  std::error_code ignored;
  fs::path directory = fs::weakly_canonical(fs::absolute(output), ignored);
  if (!directory.has_filename()) directory = directory.parent_path();
  if (fs::equivalent(files.path, directory, ignored)) refuse("is the model itself");
  if (is_run(directory)) refuse("is the directory of a run");
  if (is_checkpoint(directory)) refuse("is a checkpoint");
  if (holds_checkpoints(directory)) refuse("is a directory of checkpoints");
  if (is_checkpoint(directory.parent_path())) refuse("lies in a checkpoint");
  if (holds_checkpoints(directory.parent_path())) refuse("lies in a directory of checkpoints");
}

ExportSummary summary_of(const std::vector<TensorInfo>& tensors) {
  ExportSummary summary{.num_tensors = tensors.size()};
  for (const TensorInfo& tensor : tensors) {
    summary.num_elements += checkpoints::num_elements(tensor.shape);
    summary.num_bytes += tensor.num_bytes();
  }
  return summary;
}

}  // namespace

ExportSummary export_hf(ModelFiles& files, const ExportOptions& options) {
  check_output(files, options.output);
  const bool is_bf16 = options.dtype == at::kBFloat16;
  model::Model model = model::build_model(files.spec);
  std::vector<TensorInfo> tensors;
  std::unordered_map<std::string, Place> places;
  for (const model::Parameter* parameter : model::all_parameters(model)) {
    for (const model::HfPart& part : parameter->parts) {
      tensors.push_back({part.name, is_bf16 ? Dtype::kBF16 : Dtype::kF32, part.shape});
      places.emplace(part.name, Place{parameter, &part});
    }
  }
  std::unordered_map<std::string, at::Tensor> buffers;
  for (model::Buffer* buffer : model::all_buffers(model)) {
    files.weights->read(*buffer);
    tensors.push_back({buffer->name, Dtype::kF32, buffer->value.sizes().vec()});
    buffers.emplace(buffer->name, buffer->value);
  }

  auto& disk = core::posix_file_system();
  const auto source = [&](const TensorInfo& info, const checkpoints::AppendBytes& append) {
    const auto buffer = buffers.find(info.name);
    append(bytes_of(buffer != buffers.end()
                        ? buffer->second
                        : read_part(*files.weights, places.at(info.name), options.dtype)));
  };
  checkpoints::write_weights(disk, options.output, tensors, source, options.max_shard_bytes);
  const std::string base = options.output + "/";
  core::write_file_atomically(disk, base + "config.json",
                              model::spec_to_hf_config(files.spec, is_bf16 ? "bfloat16" : "float32"));
  core::write_file_atomically(disk, base + "generation_config.json", generation_config(files));
  const std::string tokenizer = base + "tokenizer.json";
  if (files.tokenizer)
    core::write_file_atomically(disk, tokenizer,
                                core::read_text_file(disk, *files.tokenizer, uint64_t{256} << 20));
  else
    disk.remove_all(tokenizer);  // another model's, which was exported here before
  return summary_of(tensors);
}

}  // namespace athanor::inference
