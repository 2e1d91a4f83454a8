// athanor tokenizer train | encode | decode
#include <cstdio>
#include <functional>
#include <iostream>
#include <memory>

#include "core/error.h"
#include "core/file_system.h"
#include "core/json.h"
#include "core/parallel_for.h"
#include "data/tokenizer/presets.h"
#include "data/tokenizer/text_blocks.h"
#include "data/tokenizer/tokenizer.h"
#include "data/tokenizer/trainer.h"
#include "data/tokenizer/utf8.h"
#include "launch/commands.h"
#include "launch/file_outputs.h"
#include "launch/line_files.h"
#include "launch/output.h"

namespace athanor::launch {
namespace {

using core::DataError;
using data::tokenizer::Tokenizer;
namespace tok = data::tokenizer;

struct TokenizerTrainArguments {
  std::vector<std::string> inputs;
  std::string output, format = "auto", preset = "deepseek", bos_token;
  std::vector<std::string> regexes, special_tokens;
  size_t vocab_size = 0;
  uint64_t min_frequency = 1, memory_mib = 4096;
  size_t max_token_bytes = 0;
  int num_threads = 0;
  bool as_json = false;
};

tok::TextFormat format_of(const std::string& name) {
  if (name == "jsonl") return tok::TextFormat::kJsonLines;
  return name == "txt" ? tok::TextFormat::kPlain : tok::TextFormat::kByName;
}

tok::TrainerOptions trainer_options(const TokenizerTrainArguments& arguments) {
  tok::TrainerOptions options{
      .vocab_size = arguments.vocab_size,
      .format = format_of(arguments.format),
      .patterns = arguments.regexes.empty() ? tok::preset_patterns(arguments.preset) : arguments.regexes,
      .added_tokens = {},
      .bos_token = arguments.bos_token,
      .min_frequency = arguments.min_frequency,
      .max_token_bytes = arguments.max_token_bytes,
      .memory_limit_bytes = arguments.memory_mib << 20};
  if (arguments.special_tokens.empty()) {
    options.added_tokens = tok::deepseek_added_tokens();
    if (options.bos_token.empty()) options.bos_token = options.added_tokens.front().content;
  }
  for (const auto& token : arguments.special_tokens)
    options.added_tokens.push_back({.content = token, .special = true});
  return options;
}

void print_trained(const TokenizerTrainArguments& arguments, const tok::TrainedTokenizer& trained) {
  const tok::TrainingReport& report = trained.report;
  const std::string digest = trained.tokenizer.digest();
  if (arguments.as_json) {
    const nlohmann::json facts = {{"path", arguments.output},
                                  {"vocabulary_size", report.vocab_size},
                                  {"text_bytes", report.num_text_bytes},
                                  {"words", report.num_words},
                                  {"distinct_words", report.num_distinct_words},
                                  {"digest", digest}};
    return print(facts.dump() + "\n");
  }
  print(fmt::format("{}: {} tokens from {} bytes of text ({} words, {} distinct), digest {}\n",
                    arguments.output, report.vocab_size, report.num_text_bytes, report.num_words,
                    report.num_distinct_words, digest));
}

void run_tokenizer_train(const TokenizerTrainArguments& arguments) {
  clean_up_on_signals();
  check_outputs(arguments.inputs, {arguments.output});
  tok::check_regexes(arguments.regexes);
  core::set_num_threads(arguments.num_threads > 0 ? arguments.num_threads : usable_cores());
  const auto trained = tok::train_tokenizer(arguments.inputs, trainer_options(arguments));
  trained.tokenizer.save(arguments.output);
  print_trained(arguments, trained);
}

struct ConvertArguments {
  std::string tokenizer, input, output;
  bool special_tokens = false;  ///< encode: add them; decode: skip them
  int num_threads = 0;
};

std::string encoded_line(const Tokenizer& tokenizer, const Line& line, bool add_special_tokens) {
  const std::string text = tok::text_of_json_line(line.text, line.where);
  std::string out = "{\"ids\":[";
  for (const uint32_t id : tokenizer.encode(text, add_special_tokens)) {
    if (out.back() != '[') out += ',';
    out += std::to_string(id);
  }
  return out + "]}\n";
}

std::vector<uint32_t> ids_of_json_line(const Tokenizer& tokenizer, const Line& line) {
  const auto record = parse_json(line);
  if (!record.is_object() || !record.contains("ids") || !record["ids"].is_array())
    throw DataError("{}: expected a JSON object with an array \"ids\", found {}", line.where,
                    tok::excerpt(line.text));
  std::vector<uint32_t> ids;
  for (const auto& id : record["ids"]) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= tokenizer.vocab_size())
      throw DataError("{}: expected ids from 0 to {}, found {}", line.where, tokenizer.vocab_size() - 1,
                      id.dump());
    ids.push_back(id.get<uint32_t>());
  }
  return ids;
}

std::string decoded_line(const Tokenizer& tokenizer, const Line& line, bool skip_special_tokens) {
  const std::string text = tokenizer.decode(ids_of_json_line(tokenizer, line), skip_special_tokens);
  return nlohmann::json{{"text", text}}.dump() + "\n";
}

using ConvertLine = std::function<std::string(const Tokenizer&, const Line&, bool)>;

void run_convert(const ConvertArguments& arguments, const ConvertLine& convert) {
  clean_up_on_signals();
  check_outputs({arguments.tokenizer, arguments.input}, {arguments.output});
  core::set_num_threads(arguments.num_threads > 0 ? arguments.num_threads : usable_cores());
  const Tokenizer tokenizer = Tokenizer::from_file(arguments.tokenizer);
  convert_lines(arguments.input, arguments.output,
                [&](const Line& line) { return convert(tokenizer, line, arguments.special_tokens); });
}

void add_threads_option(Command command, int& num_threads) {
  command.add_option("--threads", num_threads, "Compute threads (default: all cores this process may use)")
      .between(1, 4096);
}

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const auto name : tok::preset_names()) names.emplace_back(name);
  return names;
}

void add_train(Command parent) {
  Command command = parent.add_command("train", "Learn a byte-level BPE tokenizer from text");
  auto arguments = std::make_shared<TokenizerTrainArguments>();
  command
      .add_option("--input", arguments->inputs,
                  "Files: .jsonl with {\"text\": ...} per line, or .txt in UTF-8; also with .gz or .zst")
      .required();
  command.add_option("--format", arguments->format, "What the files hold; auto: by their names")
      .one_of({"auto", "jsonl", "txt"})
      .shows_default();
  command
      .add_option("--vocab-size", arguments->vocab_size, "Tokens in all, special ones and 256 bytes included")
      .required();
  command.add_option("--output", arguments->output, "The tokenizer.json to write").required();
  const Option preset = command.add_option("--pattern", arguments->preset, "Splitting rules of a known model")
                            .shows_default()
                            .one_of(preset_names());
  command.add_option("--regex", arguments->regexes, "Own splitting rules, applied one after the other")
      .excludes(preset);
  command.add_option("--special-token", arguments->special_tokens,
                     "Special tokens, in order of id (default: those of DeepSeek-V3)");
  command.add_option("--bos-token", arguments->bos_token,
                     "The special token to put before every text (default: that of DeepSeek-V3, or none with "
                     "--special-token)");
  command.add_option("--min-frequency", arguments->min_frequency, "A rarer pair makes no token")
      .shows_default();
  command.add_option("--max-token-bytes", arguments->max_token_bytes, "No token gets longer (0: no limit)")
      .shows_default();
  command
      .add_option("--memory-limit", arguments->memory_mib,
                  "MiB for counting words; beyond it rare words are cut into parts, then dropped")
      .shows_default()
      .between(uint64_t{16}, uint64_t{1} << 30);
  add_threads_option(command, arguments->num_threads);
  command.add_flag("--json", arguments->as_json, "Print the summary as JSON");
  command.runs([arguments] { run_tokenizer_train(*arguments); });
}

void add_convert(Command parent, const char* name, const char* help, const char* special_flag,
                 const char* special_help, ConvertLine convert) {
  Command command = parent.add_command(name, help);
  auto arguments = std::make_shared<ConvertArguments>();
  command.add_option("--tokenizer", arguments->tokenizer, "A tokenizer.json").required();
  command.add_option("--input", arguments->input, "JSON lines; - is the standard input").required();
  command.add_option("--output", arguments->output, "JSON lines; - is the standard output").required();
  command.add_flag(special_flag, arguments->special_tokens, special_help);
  add_threads_option(command, arguments->num_threads);
  command.runs([arguments, convert = std::move(convert)] { run_convert(*arguments, convert); });
}

}  // namespace

void add_tokenizer_command(Command root) {
  Command command = root.add_command("tokenizer", "Train and apply tokenizers (tokenizer.json)");
  command.requires_command();
  add_train(command);
  add_convert(command, "encode", "{\"text\": ...} to {\"ids\": [...]}, line by line", "--add-special-tokens",
              "Also the tokens that the tokenizer puts around a text", encoded_line);
  add_convert(command, "decode", "{\"ids\": [...]} to {\"text\": ...}, line by line", "--skip-special-tokens",
              "Leave special tokens out of the text", decoded_line);
}

}  // namespace athanor::launch
