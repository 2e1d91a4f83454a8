#include "launch/model_arguments.h"

#include <ATen/Parallel.h>

#include "core/error.h"
#include "core/json.h"
#include "core/parallel_for.h"
#include "kernels/cuda_plugin.h"
#include "launch/environment.h"
#include "launch/line_files.h"

namespace athanor::launch {

using nlohmann::json;

void ModelArguments::add_to(Command command) {
  command
      .add_option("model", model,
                  "a Hugging Face directory, a checkpoint, or a run directory (its newest checkpoint)")
      .required();
  command.add_option("--dtype", dtype, "precision to compute in; auto: bf16 for bf16 weights, else fp32")
      .one_of({"auto", "fp32", "bf16"})
      .shows_default();
  command.add_option("--device", device, "where to compute: cpu, or cuda (the first GPU that is visible)")
      .one_of({"cpu", "cuda"})
      .shows_default();
  command.add_option("--tokenizer", tokenizer, "tokenizer.json (default: the one beside the model)");
  command.add_option("--threads", threads, "compute threads (0: all usable cores)")
      .between(0, 4096)
      .shows_default();
}

const data::tokenizer::Tokenizer& OpenModel::require_tokenizer() const {
  if (!tokenizer)
    throw core::UsageError(
        "the model has no tokenizer.json beside it: give one with --tokenizer, or pass token ids");
  return *tokenizer;
}

OpenModel open(const ModelArguments& arguments) {
  core::set_num_threads(threads_per_rank(arguments.threads, 1));
  at::set_num_threads(1);
  keep_large_allocations();
  const at::Device device = arguments.device == "cuda" ? kernels::open_cuda_device(0) : at::Device(at::kCPU);
  inference::ModelFiles files = inference::open_model(arguments.model);
  const at::ScalarType dtype = arguments.dtype == "fp32"   ? at::kFloat
                               : arguments.dtype == "bf16" ? at::kBFloat16
                                                           : files.weights->dtype();
  OpenModel opened{
      .model = std::make_unique<inference::LoadedModel>(files.spec, *files.weights, dtype, device),
      .tokenizer = nullptr,
      .eos_token_ids = files.eos_token_ids};
  const std::string path = arguments.tokenizer.empty() ? files.tokenizer.value_or("") : arguments.tokenizer;
  if (!path.empty())
    opened.tokenizer =
        std::make_shared<data::tokenizer::Tokenizer>(data::tokenizer::Tokenizer::from_file(path));
  if (opened.eos_token_ids.empty() && opened.tokenizer && opened.tokenizer->eos_id())
    opened.eos_token_ids = {static_cast<int64_t>(*opened.tokenizer->eos_id())};
  return opened;
}

namespace {

json encoded(const json& object, const char* text_key, const OpenModel& model, const std::string& where) {
  if (!object.contains(text_key) || !object.at(text_key).is_string())
    throw core::DataError("{}: expected {{\"{}\": text}} or {{\"ids\": [...]}}", where, text_key);
  return model.require_tokenizer().encode(object.at(text_key).get_ref<const std::string&>(), true);
}

}  // namespace

std::vector<int64_t> ids_of(const json& object, const char* text_key, const OpenModel& model,
                            const std::string& where) {
  const json ids = object.contains("ids") ? object.at("ids") : encoded(object, text_key, model, where);
  const bool all_integers = ids.is_array() && std::all_of(ids.begin(), ids.end(), [](const json& id) {
                              return id.is_number_integer();
                            });
  if (!all_integers) throw core::DataError("{}: \"ids\": expected a list of integers", where);
  const model::ModelSpec& spec = model.model->spec();
  for (const json& id : ids)
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= static_cast<uint64_t>(spec.vocab_size))
      throw core::DataError("{}: token id {}: expected 0 to {} (the model's vocabulary)", where, id.dump(),
                            spec.vocab_size - 1);
  if (ids.size() > static_cast<size_t>(spec.max_position_embeddings))
    throw core::DataError("{}: a text of {} tokens: the model's context ends at {} (max_position_embeddings)",
                          where, ids.size(), spec.max_position_embeddings);
  return ids.get<std::vector<int64_t>>();
}

void for_each_object(const std::string& path,
                     const std::function<void(const json&, const std::string&)>& visit) {
  for_each_line(path, [&](const Line& line) {
    const json object = parse_json(line);
    if (!object.is_object()) throw core::DataError("{}: expected a JSON object on the line", line.where);
    visit(object, line.where);
  });
}

}  // namespace athanor::launch
