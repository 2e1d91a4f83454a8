// athanor generate MODEL --prompt T | --input F --output F
#include <memory>
#include <optional>

#include "core/error.h"
#include "core/file_system.h"
#include "core/json.h"
#include "inference/generate.h"
#include "launch/commands.h"
#include "launch/file_outputs.h"
#include "launch/model_arguments.h"
#include "launch/output.h"

namespace athanor::launch {
namespace {

using data::tokenizer::IncrementalDecoder;
using nlohmann::json;

struct GenerateArguments {
  ModelArguments model;
  std::optional<std::string> prompt;
  std::string input, output;
  inference::GenerateOptions options;
  bool ignore_eos = false;
  bool as_json = false;
};

std::string text_of(const std::vector<int64_t>& ids, const OpenModel& opened) {
  if (!opened.tokenizer) return "";
  return opened.tokenizer->decode(std::vector<uint32_t>(ids.begin(), ids.end()),
                                  /*skip_special_tokens=*/true);
}

std::string json_line(const std::vector<int64_t>& ids, const OpenModel& opened) {
  return json({{"text", text_of(ids, opened)}, {"ids", ids}}).dump() + "\n";
}

// Prints the prompt and then the text as it comes; as JSON, the new text when all is there.
void continue_prompt(const GenerateArguments& arguments, OpenModel& opened) {
  const auto tokens = opened.require_tokenizer().encode(*arguments.prompt, true);
  const std::vector<std::vector<int64_t>> prompts = {{tokens.begin(), tokens.end()}};
  if (arguments.as_json)
    return print(json_line(inference::generate(*opened.model, prompts, arguments.options).front(), opened));
  IncrementalDecoder decoder(*opened.tokenizer, /*skip_special_tokens=*/true);
  print(*arguments.prompt);
  inference::generate(*opened.model, prompts, arguments.options,
                      [&](size_t, int64_t token) { print(decoder.push(static_cast<uint32_t>(token))); });
  print(decoder.finish() + "\n");
}

void generate_file(const GenerateArguments& arguments, OpenModel& opened) {
  std::vector<std::vector<int64_t>> prompts;
  for_each_object(arguments.input, [&](const json& object, const std::string& where) {
    prompts.push_back(ids_of(object, "prompt", opened, where));
    if (prompts.back().empty())
      throw core::DataError("{}: a prompt without tokens: give at least one", where);
  });
  std::string lines;
  for (const auto& ids : inference::generate(*opened.model, prompts, arguments.options))
    lines += json_line(ids, opened);
  core::write_file_atomically(core::posix_file_system(), arguments.output, lines);
}

void run_generate(GenerateArguments& arguments) {
  if (arguments.prompt.has_value() == !arguments.input.empty())
    throw core::UsageError("generate: give either --prompt TEXT or --input FILE with --output FILE");
  if (!arguments.input.empty() && arguments.output.empty())
    throw core::UsageError("generate: --input FILE needs --output FILE");
  if (arguments.prompt && !arguments.output.empty())
    throw core::UsageError("generate: --prompt prints its text; --output FILE goes with --input FILE");
  if (arguments.as_json && !arguments.prompt)
    throw core::UsageError("generate: --json goes with --prompt; --output FILE has JSON lines anyway");
  clean_up_on_signals();
  check_outputs({arguments.input}, {arguments.output});
  inference::check(arguments.options.sampling);
  OpenModel opened = open(arguments.model);
  if (!arguments.ignore_eos) arguments.options.stop_tokens = opened.eos_token_ids;
  if (arguments.prompt) {
    continue_prompt(arguments, opened);
  } else {
    generate_file(arguments, opened);
  }
}

}  // namespace

void add_generate_command(Command root) {
  auto arguments = std::make_shared<GenerateArguments>();
  Command command = root.add_command("generate", "Continue prompts");
  arguments->model.add_to(command);
  auto& options = arguments->options;
  command.add_option("--prompt", arguments->prompt,
                     "text to continue; printed with its continuation as it comes");
  command.add_option("--input", arguments->input, "JSON lines: {\"prompt\": ...} or {\"ids\": [...]}");
  command.add_option("--output", arguments->output,
                     "JSON lines: {\"text\": ..., \"ids\": [...]}, the new tokens only");
  command.add_option("--max-new-tokens", options.max_new_tokens, "tokens per prompt at most")
      .between(1, 1 << 30)
      .shows_default();
  command.add_option("--temperature", options.sampling.temperature, "0: greedy").shows_default();
  command.add_option("--top-k", options.sampling.top_k, "only the k most likely tokens (0: all)")
      .shows_default();
  command
      .add_option("--top-p", options.sampling.top_p,
                  "only the likeliest tokens that hold this much probability")
      .shows_default();
  command
      .add_option("--min-p", options.sampling.min_p,
                  "only tokens at least so likely, relative to the likeliest")
      .shows_default();
  command.add_option("--seed", options.sampling.seed, "of the random numbers").shows_default();
  command.add_option("--batch-size", options.batch_size, "prompts decoded together")
      .between(1, 65536)
      .shows_default();
  command.add_flag("--ignore-eos", arguments->ignore_eos, "go on after an end token");
  command.add_flag("--json", arguments->as_json,
                   "print {\"text\": ..., \"ids\": [...]}, the new tokens only, in place of the text");
  command.runs([arguments] { run_generate(*arguments); });
}

}  // namespace athanor::launch
