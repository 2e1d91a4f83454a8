// athanor score MODEL --input F --output F [--logits F.safetensors]
#include <memory>

#include "checkpoints/safetensors.h"
#include "core/error.h"
#include "core/file_system.h"
#include "core/json.h"
#include "inference/score.h"
#include "launch/commands.h"
#include "launch/file_outputs.h"
#include "launch/model_arguments.h"

namespace athanor::launch {
namespace {

using nlohmann::json;

struct ScoreArguments {
  ModelArguments model;
  std::string input, output, logits;
};

void write_scores(const std::string& path, const std::vector<std::vector<int64_t>>& sequences,
                  const std::vector<std::vector<float>>& scores) {
  std::string lines;
  for (size_t i = 0; i < sequences.size(); ++i)
    lines += json({{"ids", sequences[i]}, {"logprobs", scores[i]}}).dump() + "\n";
  core::write_file_atomically(core::posix_file_system(), path, lines);
}

// logits.LINE, counted from 0: [tokens, vocabulary] fp32.
void write_logits(const std::string& path, inference::LoadedModel& model,
                  const std::vector<std::vector<int64_t>>& sequences) {
  std::vector<checkpoints::TensorInfo> tensors;
  for (size_t i = 0; i < sequences.size(); ++i)
    tensors.push_back({"logits." + std::to_string(i),
                       checkpoints::Dtype::kF32,
                       {static_cast<int64_t>(sequences[i].size()), model.spec().vocab_size}});
  checkpoints::SafetensorsWriter writer(core::posix_file_system(), path, tensors);
  inference::for_each_logits(model, sequences, [&](const at::Tensor& logits_TV) {
    writer.append(
        {static_cast<const std::byte*>(logits_TV.const_data_ptr()), static_cast<size_t>(logits_TV.nbytes())});
  });
  writer.finish();
}

void run_score(const ScoreArguments& arguments) {
  clean_up_on_signals();
  check_outputs({arguments.input}, {arguments.output, arguments.logits});
  OpenModel opened = open(arguments.model);
  std::vector<std::vector<int64_t>> sequences;
  for_each_object(arguments.input, [&](const json& object, const std::string& where) {
    sequences.push_back(ids_of(object, "text", opened, where));
  });
  // The scores come last: where they are, everything is.
  if (!arguments.logits.empty()) write_logits(arguments.logits, *opened.model, sequences);
  write_scores(arguments.output, sequences, inference::score(*opened.model, sequences));
}

}  // namespace

void add_score_command(Command root) {
  auto arguments = std::make_shared<ScoreArguments>();
  Command command = root.add_command("score", "Log-probabilities of texts, token by token");
  arguments->model.add_to(command);
  command.add_option("--input", arguments->input, "JSON lines: {\"text\": ...} or {\"ids\": [...]}")
      .required();
  command
      .add_option("--output", arguments->output,
                  "JSON lines: {\"ids\": [...], \"logprobs\": [...]}, one per predicted token")
      .required();
  command.add_option("--logits", arguments->logits,
                     "also write all logits: logits.LINE [tokens, vocabulary] fp32 (safetensors)");
  command.runs([arguments] { run_score(*arguments); });
}

}  // namespace athanor::launch
