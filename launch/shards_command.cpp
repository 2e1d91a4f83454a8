// `athanor shards`: documents to token shards, and what is in a shard.
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "core/error.h"
#include "core/file_system.h"
#include "core/json.h"
#include "core/parallel_for.h"
#include "data/shards/shard_builder.h"
#include "data/shards/shard_verify.h"
#include "data/tokenizer/tokenizer.h"
#include "launch/commands.h"
#include "launch/file_outputs.h"
#include "launch/line_files.h"
#include "launch/output.h"

namespace athanor::launch {
namespace {

using data::ShardBuildOptions;
using data::ShardBuildSummary;
using data::ShardStat;
using data::tokenizer::Tokenizer;
using nlohmann::json;

void print_json(const json& value) {
  print(value.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

// ---- build
// ---------------------------------------------------------------------------------------------------------

struct BuildArguments {
  ShardBuildOptions options;
  std::string tokenizer_path;
  std::string eos_token;
  bool without_eos = false;
  bool with_bos = false;
  bool as_json = false;
  int num_threads = 0;
};

uint32_t required_token(const Tokenizer& tokenizer, const std::string& text, const std::string& path) {
  const auto id = tokenizer.token_to_id(text);
  if (!id) throw core::UsageError("--eos-token {}: {} has no such token", text, path);
  return *id;
}

std::optional<uint32_t> eos_of(const Tokenizer& tokenizer, const BuildArguments& arguments) {
  if (arguments.without_eos) return std::nullopt;
  if (!arguments.eos_token.empty())
    return required_token(tokenizer, arguments.eos_token, arguments.tokenizer_path);
  if (const auto id = tokenizer.eos_id()) return id;
  throw core::UsageError("{} names no end-of-text token; name one with --eos-token, or pass --no-eos",
                         arguments.tokenizer_path);
}

std::optional<uint32_t> bos_of(const Tokenizer& tokenizer, const BuildArguments& arguments) {
  if (!arguments.with_bos) return std::nullopt;
  if (const auto id = tokenizer.bos_id()) return id;
  throw core::UsageError("--bos: {} names no begin-of-text token", arguments.tokenizer_path);
}

json to_json(const ShardBuildSummary& summary) {
  json files = json::array();
  for (const auto& file : summary.files)
    files.push_back({{"path", file.path},
                     {"documents", file.num_documents},
                     {"tokens", file.num_tokens},
                     {"validation", file.is_validation}});
  return {{"documents", summary.num_documents},
          {"empty_documents", summary.num_empty_documents},
          {"text_bytes", summary.num_text_bytes},
          {"tokens", summary.num_tokens},
          {"files", files}};
}

std::string to_text(const ShardBuildSummary& summary) {
  std::string text;
  for (const auto& file : summary.files)
    text += fmt::format("{}: {} documents, {} tokens{}\n", file.path, file.num_documents, file.num_tokens,
                        file.is_validation ? " (validation)" : "");
  text += fmt::format("{} documents, {} bytes of text, {} tokens ({:.2f} bytes per token)\n",
                      summary.num_documents, summary.num_text_bytes, summary.num_tokens,
                      static_cast<double>(summary.num_text_bytes) / static_cast<double>(summary.num_tokens));
  if (summary.num_empty_documents > 0)
    text += fmt::format("{} documents without text were left out\n", summary.num_empty_documents);
  return text;
}

void build(BuildArguments& arguments) {
  clean_up_on_signals();
  std::vector<std::string> inputs = arguments.options.inputs;
  inputs.push_back(arguments.tokenizer_path);
  check_outputs(inputs, {arguments.options.output, arguments.options.validation_output});
  core::set_num_threads(arguments.num_threads > 0 ? arguments.num_threads : usable_cores());
  core::FileSystem& fs = core::posix_file_system();
  const Tokenizer tokenizer = Tokenizer::from_file(arguments.tokenizer_path, fs);
  arguments.options.tokenizer_digest = tokenizer.digest();
  arguments.options.vocabulary_size = tokenizer.vocab_size();
  arguments.options.eos_id = eos_of(tokenizer, arguments);
  arguments.options.bos_id = bos_of(tokenizer, arguments);
  const auto tokenize = [&](std::span<const std::string> texts) {
    return tokenizer.encode_batch(texts, false);
  };
  const ShardBuildSummary summary = data::build_shards(fs, arguments.options, tokenize);
  if (arguments.as_json)
    print_json(to_json(summary));
  else
    print(to_text(summary));
}

void add_build(Command shards) {
  auto arguments = std::make_shared<BuildArguments>();
  Command command =
      shards.add_command("build", "Turn documents (JSON lines, also .gz and .zst) into token shards");
  command.add_option("--input", arguments->options.inputs, "JSON lines files, in this order").required();
  command.add_option("--tokenizer", arguments->tokenizer_path, "tokenizer.json").required();
  command
      .add_option("--output", arguments->options.output,
                  "the shard, such as shards/train-00000.h5; with --max-tokens-per-shard the first one")
      .required();
  command.add_option("--text-key", arguments->options.text_key, "the key that holds the text")
      .shows_default();
  command.add_option(
      "--max-tokens-per-shard", arguments->options.max_tokens_per_shard,
      "start the next shard (train-00001.h5, …) before this many tokens; 0: one shard. They are "
      "numbered from the number in the name, three or more digits before the suffix; a name "
      "without one gets -00000");
  command.add_option("--validation-fraction", arguments->options.validation_fraction,
                     "share of the documents, chosen by their text, that goes to the validation shard");
  command.add_option("--validation-output", arguments->options.validation_output, "the validation shard");
  const Option eos_token =
      command.add_option("--eos-token", arguments->eos_token,
                         "the token after every document (default: the tokenizer's end of text)");
  command.add_flag("--no-eos", arguments->without_eos, "put no token after documents").excludes(eos_token);
  command.add_flag("--bos", arguments->with_bos,
                   "put the tokenizer's begin-of-text token before every document");
  command.add_flag("--overwrite", arguments->options.overwrite,
                   "replace the numbered shards of an earlier build");
  command.add_flag("--json", arguments->as_json, "print the summary as JSON");
  command.add_option("--threads", arguments->num_threads, "threads of the tokenizer (default: all cores)")
      .between(1, 4096);
  command.runs([arguments] { build(*arguments); });
}

// ---- stat
// ----------------------------------------------------------------------------------------------------------

json to_json(const std::vector<data::LabelCount>& labels) {
  json all = json::array();
  for (const auto& label : labels)
    all.push_back({{"name", label.name}, {"documents", label.num_documents}, {"tokens", label.num_tokens}});
  return all;
}

json to_json(const ShardStat& stat) {
  json value = {{"path", stat.path},
                {"file_bytes", stat.file_bytes},
                {"tokens", stat.num_tokens},
                {"documents", stat.num_documents},
                {"token_bytes", stat.token_bytes},
                {"vocabulary_size", stat.vocabulary_size},
                {"tokenizer_digest", stat.tokenizer_digest},
                {"content_digest", stat.content_digest},
                {"document_tokens",
                 {{"shortest", stat.shortest_document},
                  {"median", stat.median_document},
                  {"longest", stat.longest_document}}}};
  if (!stat.sources.empty()) value["sources"] = to_json(stat.sources);
  if (!stat.languages.empty()) value["languages"] = to_json(stat.languages);
  if (stat.num_scored > 0) value["score"] = {{"documents", stat.num_scored}, {"mean", stat.mean_score}};
  return value;
}

std::string to_text(const char* title, const std::vector<data::LabelCount>& labels) {
  std::string text;
  for (const auto& label : labels)
    text += fmt::format("  {} {}: {} documents, {} tokens\n", title,
                        label.name.empty() ? "(none)" : label.name, label.num_documents, label.num_tokens);
  return text;
}

std::string to_text(const ShardStat& stat) {
  std::string text = fmt::format(
      "{}: {} documents, {} tokens of {} bytes, {} bytes in all\n"
      "  documents of {} to {} tokens, median {}\n"
      "  vocabulary {}, tokenizer {}, content {}\n",
      stat.path, stat.num_documents, stat.num_tokens, stat.token_bytes, stat.file_bytes,
      stat.shortest_document, stat.longest_document, stat.median_document, stat.vocabulary_size,
      stat.tokenizer_digest, stat.content_digest);
  text += to_text("source", stat.sources) + to_text("language", stat.languages);
  if (stat.num_scored > 0)
    text += fmt::format("  {} documents with a score, mean {:.4f}\n", stat.num_scored, stat.mean_score);
  return text;
}

void print_stats(const std::vector<std::string>& paths, bool as_json) {
  data::FilePool pool(core::posix_file_system());
  json all = json::array();
  for (const auto& shard : data::ShardReader::open_all(pool, paths)) {
    const ShardStat stat = data::shard_stat(shard);
    if (as_json)
      all.push_back(to_json(stat));
    else
      print(to_text(stat));
  }
  if (as_json) print_json(all);
}

// ---- verify
// --------------------------------------------------------------------------------------------------------

/// Every file is looked at, also after a bad one; the first bad one decides the exit code.
void verify(const std::vector<std::string>& paths, bool as_json) {
  data::FilePool pool(core::posix_file_system());
  json all = json::array();
  std::optional<core::ExitCode> exit_code;
  size_t num_bad = 0;
  for (const std::string& path : paths) {
    std::string problem;
    try {
      data::verify_shard(data::ShardReader::open_all(pool, std::span(&path, 1)).front());
    } catch (const core::Error& error) {
      problem = error.what();
      if (num_bad++ == 0) exit_code = error.exit_code();
    }
    if (as_json)
      all.push_back({{"path", path}, {"good", problem.empty()}, {"problem", problem}});
    else
      print(problem.empty() ? fmt::format("{}: good\n", path) : fmt::format("{}\n", problem));
  }
  if (as_json) print_json(all);
  if (exit_code)
    throw core::Error(*exit_code, fmt::format("{} of {} shards are not good", num_bad, paths.size()));
}

struct FileArguments {
  std::vector<std::string> paths;
  bool as_json = false;
};

void add_file_command(Command shards, const char* name, const char* meaning,
                      void (*run)(const std::vector<std::string>&, bool)) {
  auto arguments = std::make_shared<FileArguments>();
  Command command = shards.add_command(name, meaning);
  command.add_option("files", arguments->paths, "token shards").required();
  command.add_flag("--json", arguments->as_json, "print as JSON");
  command.runs([arguments, run] { run(arguments->paths, arguments->as_json); });
}

}  // namespace

void add_shards_command(Command root) {
  Command shards = root.add_command("shards", "Token shards: build them, show them, check them");
  shards.requires_command();
  add_build(shards);
  add_file_command(shards, "stat", "Show what shards hold", print_stats);
  add_file_command(shards, "verify", "Read all data of shards and check it", verify);
}

}  // namespace athanor::launch
