#include "inference/model_files.h"

#include <charconv>
#include <filesystem>
#include <set>

#include <fmt/ranges.h>

#include "checkpoints/bounded_json.h"
#include "checkpoints/checkpoint_directory.h"
#include "checkpoints/checkpoint_reader.h"
#include "checkpoints/find_checkpoint.h"
#include "core/error.h"
#include "core/file_system.h"
#include "core/json.h"
#include "core/log.h"
#include "model/blocks.h"

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

// The layer of `model.layers.3.mlp.gate.weight`; -1 for what belongs to none.
int64_t layer_of(std::string_view tensor) {
  constexpr std::string_view kPrefix = "model.layers.";
  int64_t layer = -1;
  if (tensor.starts_with(kPrefix))
    std::from_chars(tensor.data() + kPrefix.size(), tensor.data() + tensor.size(), layer);
  return layer;
}

// What published files keep although the model does not read it: a projection that is the embedding (tied),
// rotary frequencies of old versions of transformers, and the copies of embedding and projection that lie in
// DeepSeek-V3's prediction modules.
bool is_known_leftover(std::string_view tensor, const model::ModelSpec& spec) {
  if (tensor == "lm_head.weight") return spec.tie_word_embeddings;
  if (tensor.ends_with(".rotary_emb.inv_freq")) return true;
  return layer_of(tensor) >= spec.num_hidden_layers &&
         (tensor.ends_with(".embed_tokens.weight") || tensor.ends_with(".shared_head.head.weight"));
}

std::set<std::string, std::less<>> names_of(model::Model& model) {
  std::set<std::string, std::less<>> names;
  for (const model::Parameter* parameter : model::all_parameters(model))
    for (const model::HfPart& part : parameter->parts) names.insert(part.name);
  for (const model::Buffer* buffer : model::all_buffers(model)) names.insert(buffer->name);
  return names;
}

// A tensor without a place in the model would be left out without a word, and the model be another one.
void check_all_have_a_place(const ModelFiles& files) {
  constexpr size_t kMaxNamed = 3;
  model::Model model = model::build_model(files.spec);
  const auto places = names_of(model);
  std::vector<std::string> strangers;
  size_t num_strangers = 0;
  for (const checkpoints::TensorInfo& tensor : files.weights->tensors()) {
    if (places.contains(tensor.name) || is_known_leftover(tensor.name, files.spec)) continue;
    if (tensor.name.ends_with(".weight_scale_inv"))
      throw core::DataError("{}: tensor {}: the weights are quantised; convert them to BF16 first",
                            files.path, checkpoints::printable(tensor.name));
    if (++num_strangers <= kMaxNamed) strangers.push_back(checkpoints::printable(tensor.name));
  }
  if (num_strangers > 0)
    throw core::DataError(
        "{}: {} of the weights' tensors have no place in the {} model that the configuration describes: "
        "{}{}; the configuration is not that of these weights, take theirs",
        files.path, num_strangers, model::architecture_name(files.spec.architecture),
        fmt::join(strangers, ", "), num_strangers > kMaxNamed ? ", ..." : "");
}

// What the weights' headers say must do for the model, before anything of the model's size is allocated.
// Prediction modules may be missing, since decoding does not run them.
void check_weights(const ModelFiles& files) {
  model::ModelSpec decoder = files.spec;
  decoder.num_nextn_predict_layers = 0;
  const int64_t num_wanted = model::count_parameters(decoder).total;
  const int64_t num_layers = files.spec.num_hidden_layers + files.spec.num_nextn_predict_layers;
  uint64_t num_held = 0;
  for (const checkpoints::TensorInfo& tensor : files.weights->tensors()) {
    num_held += checkpoints::num_elements(tensor.shape);
    if (layer_of(tensor.name) >= num_layers)
      throw core::DataError(
          "{}: tensor {}: expected layers 0 to {} (num_hidden_layers {} + num_nextn_predict_layers {})",
          files.path, tensor.name, num_layers - 1, files.spec.num_hidden_layers,
          files.spec.num_nextn_predict_layers);
  }
  if (static_cast<uint64_t>(num_wanted) > num_held)
    throw core::DataError(
        "{}: the configuration describes a model of {} parameters, but the weights hold {}; take "
        "the configuration of these weights",
        files.path, num_wanted, num_held);
  check_all_have_a_place(files);
}

ModelFiles open_hf_directory(const fs::path& directory) {
  const std::string config = (directory / "config.json").string();
  ModelFiles files{.path = directory.string()};
  files.spec = model::spec_from_hf_config(
      core::read_text_file(core::posix_file_system(), config, kMaxConfigBytes), config);
  files.weights = open_hf_weights(directory.string());
  check_weights(files);
  files.tokenizer = existing(directory / "tokenizer.json");
  files.eos_token_ids = end_tokens(directory, files.spec);
  return files;
}

// A run keeps its tokenizer beside the directory of its checkpoints.
ModelFiles open_checkpoint(const fs::path& checkpoint, const fs::path& run, checkpoints::Verify verify) {
  const checkpoints::Manifest manifest =
      checkpoints::read_manifest(core::posix_file_system(), checkpoint.string());
  const json state = json::parse(manifest.training_state, nullptr, false);
  if (!state.is_object() || !state.contains("model_config") || !state.at("model_config").is_string())
    throw core::DataError("{}: the checkpoint does not say which model it holds (model_config)",
                          checkpoint.string());
  ModelFiles files{.path = checkpoint.string()};
  files.spec = model::spec_from_hf_config(state.at("model_config").get<std::string>(), checkpoint.string());
  files.weights = open_checkpoint_weights(checkpoint.string(), verify);
  check_weights(files);
  files.tokenizer = existing(run / "tokenizer.json");
  files.eos_token_ids = files.spec.eos_token_ids;
  return files;
}

struct Found {
  std::string checkpoint;
  fs::path run;
};

// The newest good checkpoint of a run, or of the directory of its checkpoints.
std::optional<Found> find_checkpoint(const fs::path& path) {
  auto& disk = core::posix_file_system();
  const std::string directory = checkpoints::directory_of_checkpoints(disk, path.string());
  const auto newest = checkpoints::find_newest_good(disk, directory);
  if (!newest) return std::nullopt;
  return Found{newest->path, directory == path ? path.parent_path() : path};
}

}  // namespace

ModelFiles open_model(const std::string& path) {
  const fs::path directory = fs::path(path).lexically_normal();
  if (!fs::exists(directory))
    throw core::MissingInputError(
        "{}: no such model; expected a Hugging Face directory, a checkpoint or a run directory", path);
  if (!fs::is_directory(directory))
    throw core::DataError(
        "{}: a directory was expected, this is a file; give the Hugging Face directory, checkpoint or run "
        "directory that it is in",
        path);
  if (fs::exists(directory / "config.json")) {
    if (fs::exists(directory / "config.yaml") && fs::is_directory(directory / "checkpoints"))
      core::log::warning(
          "{}: holds a run and an export (config.json), which is what is opened; move it away, "
          "or name one of the checkpoints",
          path);
    return open_hf_directory(directory);
  }
  if (fs::exists(directory / checkpoints::kManifestName))
    return open_checkpoint(directory, directory.parent_path().parent_path(), checkpoints::Verify::kDigests);
  if (const auto found = find_checkpoint(directory))  // which has just checked the digests
    return open_checkpoint(found->checkpoint, found->run, checkpoints::Verify::kSizes);
  throw core::DataError(
      "{}: holds no model; expected config.json with safetensors (Hugging Face), manifest.json (a "
      "checkpoint), "
      "or checkpoints/, or a checkpoint.dir in config.yaml, with a good checkpoint (a run)",
      path);
}

}  // namespace athanor::inference
