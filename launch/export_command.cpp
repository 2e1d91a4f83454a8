// athanor export MODEL --format hf --output DIR
#include <memory>

#include <fmt/format.h>

#include "core/json.h"
#include "inference/export_hf.h"
#include "launch/commands.h"
#include "launch/file_outputs.h"
#include "launch/output.h"

namespace athanor::launch {
namespace {

struct ExportArguments {
  std::string model, format = "hf", dtype = "bf16", output;
  double max_shard_gb = 5;
  bool as_json = false;
};

void print_summary(const ExportArguments& arguments, const inference::ModelFiles& files,
                   const inference::ExportSummary& summary) {
  if (arguments.as_json) {
    const nlohmann::json facts = {{"output", arguments.output},       {"format", arguments.format},
                                  {"dtype", arguments.dtype},         {"from", files.path},
                                  {"tensors", summary.num_tensors},   {"elements", summary.num_elements},
                                  {"weight_bytes", summary.num_bytes}};
    return print(facts.dump() + "\n");
  }
  print(fmt::format("{}: {} tensors, {} elements, {} bytes in {}, from {}\n", arguments.output,
                    summary.num_tensors, summary.num_elements, summary.num_bytes, arguments.dtype,
                    files.path));
}

void run_export(const ExportArguments& arguments) {
  clean_up_on_signals();
  inference::ModelFiles files = inference::open_model(arguments.model);
  const auto summary =
      inference::export_hf(files, {.output = arguments.output,
                                   .dtype = arguments.dtype == "fp32" ? at::kFloat : at::kBFloat16,
                                   .max_shard_bytes = static_cast<uint64_t>(arguments.max_shard_gb * 1e9)});
  print_summary(arguments, files, summary);
}

}  // namespace

void add_export_command(Command root) {
  auto arguments = std::make_shared<ExportArguments>();
  Command command = root.add_command("export", "Write a model in another program's format");
  command.add_option("model", arguments->model, "a run directory, a checkpoint, or a Hugging Face directory")
      .required();
  command
      .add_option("--format", arguments->format,
                  "hf: config.json and safetensors that transformers and vLLM load")
      .one_of({"hf"})
      .shows_default();
  command.add_option("--dtype", arguments->dtype, "precision of the weights")
      .one_of({"fp32", "bf16"})
      .shows_default();
  command.add_option("--output", arguments->output, "directory to write").required();
  command.add_option("--max-shard-gb", arguments->max_shard_gb, "largest weight file, in gigabytes")
      .between(0.001, 1000.0)
      .shows_default();
  command.add_flag("--json", arguments->as_json, "print the summary as JSON");
  command.runs([arguments] { run_export(*arguments); });
}

}  // namespace athanor::launch
