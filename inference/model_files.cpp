#include "inference/model_files.h"

#include <filesystem>

#include "checkpoints/checkpoint_directory.h"
#include "checkpoints/checkpoint_reader.h"
#include "core/error.h"
#include "core/file_system.h"
#include "core/json.h"

namespace athanor::inference {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr uint64_t kMaxConfigBytes = 1 << 20;

std::optional<std::string> existing(const fs::path& path) {
  if (fs::exists(path)) return path.string();
  return std::nullopt;
}

// generation_config.json may name more end tokens than config.json does.
std::vector<int64_t> end_tokens(const fs::path& directory, const model::ModelSpec& spec) {
  const fs::path path = directory / "generation_config.json";
  if (!fs::exists(path)) return spec.eos_token_ids;
  const json config = json::parse(
      core::read_text_file(core::posix_file_system(), path.string(), kMaxConfigBytes), nullptr, false);
  if (!config.is_object()) throw core::DataError("{}: expected a JSON object", path.string());
  const json eos = config.value("eos_token_id", json());
  if (eos.is_number_integer()) return {eos.get<int64_t>()};
  std::vector<int64_t> ids;
  if (eos.is_array())
    for (const json& id : eos)
      if (id.is_number_integer()) ids.push_back(id.get<int64_t>());
  return ids.empty() ? spec.eos_token_ids : ids;
}

ModelFiles open_hf_directory(const fs::path& directory) {
  const std::string config = (directory / "config.json").string();
  ModelFiles files{.path = directory.string()};
  files.spec = model::spec_from_hf_config(
      core::read_text_file(core::posix_file_system(), config, kMaxConfigBytes), config);
  files.weights = open_hf_weights(directory.string());
  files.tokenizer = existing(directory / "tokenizer.json");
  files.eos_token_ids = end_tokens(directory, files.spec);
  return files;
}

// A run keeps its tokenizer beside the directory of its checkpoints.
ModelFiles open_checkpoint(const fs::path& checkpoint, const fs::path& run) {
  const checkpoints::Manifest manifest =
      checkpoints::read_manifest(core::posix_file_system(), checkpoint.string());
  const json state = json::parse(manifest.training_state, nullptr, false);
  if (!state.is_object() || !state.contains("model_config") || !state.at("model_config").is_string())
    throw core::DataError("{}: the checkpoint does not say which model it holds (model_config)",
                          checkpoint.string());
  ModelFiles files{.path = checkpoint.string()};
  files.spec = model::spec_from_hf_config(state.at("model_config").get<std::string>(), checkpoint.string());
  files.weights = open_checkpoint_weights(checkpoint.string());
  files.tokenizer = existing(run / "tokenizer.json");
  files.eos_token_ids = files.spec.eos_token_ids;
  return files;
}

}  // namespace

ModelFiles open_model(const std::string& path) {
  const fs::path directory = fs::path(path).lexically_normal();
  if (!fs::exists(directory))
    throw core::MissingInputError(
        "{}: no such model; expected a Hugging Face directory, a checkpoint or a run directory", path);
  if (fs::exists(directory / "config.json")) return open_hf_directory(directory);
  if (fs::exists(directory / "manifest.json"))
    return open_checkpoint(directory, directory.parent_path().parent_path());
  for (const fs::path& parent : {directory / "checkpoints", directory}) {
    const auto newest = checkpoints::find_newest_good(core::posix_file_system(), parent.string(),
                                                      checkpoints::Verify::kSizes);
    if (newest)
      return open_checkpoint(newest->path, parent == directory ? directory.parent_path() : directory);
  }
  throw core::DataError(
      "{}: holds no model; expected config.json with safetensors (Hugging Face), manifest.json (a "
      "checkpoint), "
      "or checkpoints/ with a good checkpoint (a run)",
      path);
}

}  // namespace athanor::inference
