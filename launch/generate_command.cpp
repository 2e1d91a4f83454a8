// athanor generate MODEL --prompt T | --input F --output F
#include <algorithm>
#include <memory>
#include <optional>

#include "core/error.h"
#include "core/file_system.h"
#include "core/json.h"
#include "core/log.h"
#include "data/text/utf8.h"
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

// As the tokenizer counts them; ids that were checked against the vocabulary.
std::vector<uint32_t> token_ids(const std::vector<int64_t>& ids) {
  return {ids.begin(), ids.end()};
}

std::string continuation_of(const std::vector<int64_t>& prompt, const std::vector<int64_t>& ids,
                            const OpenModel& opened) {
  if (!opened.tokenizer) return "";
  return opened.tokenizer->decode_continuation(token_ids(prompt), token_ids(ids),
                                               /*skip_special_tokens=*/true);
}

std::string json_line(const std::vector<int64_t>& prompt, const std::vector<int64_t>& ids,
                      const OpenModel& opened) {
  return json({{"text", continuation_of(prompt, ids, opened)}, {"ids", ids}}).dump() + "\n";
}

void check_prompt_is_text(const std::string& prompt) {
  for (size_t at = 0, length = 0; at < prompt.size(); at += length) {
    length = text::sequence_length(prompt, at);
    if (length == 0)
      throw core::UsageError("--prompt: byte 0x{:02x} at column {} is not UTF-8 text",
                             static_cast<unsigned char>(prompt[at]), at + 1);
  }
}

// A text that ends where the context does is shorter than what was asked for, which its reader cannot see.
void warn_of_full_context(const OpenModel& opened, const std::vector<std::vector<int64_t>>& prompts,
                          const std::vector<std::vector<int64_t>>& outputs,
                          const inference::GenerateOptions& options) {
  const model::ModelSpec& spec = opened.model->spec();
  size_t num_cut = 0;
  int64_t fewest = options.max_new_tokens;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const int64_t room = inference::room_after(spec, prompts[i].size());
    if (room >= options.max_new_tokens || static_cast<int64_t>(outputs[i].size()) < room) continue;
    ++num_cut;
    fewest = std::min(fewest, room);
  }
  if (num_cut > 0)
    core::log::warning(
        "{} of {} texts ended with the model's context of {} tokens (max_position_embeddings): {} new tokens "
        "were possible{}, --max-new-tokens is {}",
        num_cut, prompts.size(), spec.max_position_embeddings, fewest,
        num_cut > 1 ? " after the longest of their prompts" : "", options.max_new_tokens);
}

// Prints the prompt and then the text as it comes; as JSON, the new text when all is there.
void continue_prompt(const GenerateArguments& arguments, OpenModel& opened) {
  const std::vector<std::vector<int64_t>> prompts = {
      ids_of({{"prompt", *arguments.prompt}}, "prompt", opened, "--prompt")};
  if (arguments.as_json) {
    const auto outputs = inference::generate(*opened.model, prompts, arguments.options);
    print(json_line(prompts.front(), outputs.front(), opened));
    return warn_of_full_context(opened, prompts, outputs, arguments.options);
  }
  IncrementalDecoder decoder(*opened.tokenizer, /*skip_special_tokens=*/true, token_ids(prompts.front()));
  print(*arguments.prompt);
  const auto outputs =
      inference::generate(*opened.model, prompts, arguments.options,
                          [&](size_t, int64_t token) { print(decoder.push(static_cast<uint32_t>(token))); });
  print(decoder.finish() + "\n");
  warn_of_full_context(opened, prompts, outputs, arguments.options);
}

void generate_file(const GenerateArguments& arguments, OpenModel& opened) {
  std::vector<std::vector<int64_t>> prompts;
  for_each_object(arguments.input, [&](const json& object, const std::string& where) {
    prompts.push_back(ids_of(object, "prompt", opened, where));
    if (prompts.back().empty())
      throw core::DataError("{}: a prompt without tokens: give at least one", where);
  });
  std::string lines;
  const auto outputs = inference::generate(*opened.model, prompts, arguments.options);
  for (size_t i = 0; i < prompts.size(); ++i) lines += json_line(prompts[i], outputs[i], opened);
  core::write_file_atomically(core::posix_file_system(), arguments.output, lines);
  warn_of_full_context(opened, prompts, outputs, arguments.options);
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
  if (arguments.prompt) check_prompt_is_text(*arguments.prompt);
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
  command.add_option(
      "--output", arguments->output,
      "JSON lines: {\"text\": ..., \"ids\": [...]}, the new tokens only; the text without special ones");
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
