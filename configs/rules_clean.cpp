#include <algorithm>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "configs/rule_list.h"

namespace athanor::configs {
namespace {

void check_input(const CleanInput& input, const std::string& name, Rules& rules) {
  rules.require(!input.text_fields.empty(), {name + ".text_fields"}, "at least one field is needed");
  const bool is_text = input.format == "text", may_be_text = is_text || input.format == "auto";
  rules.require(may_be_text || input.documents == "file", {name + ".documents", name + ".format"},
                "{} is about text files, the format is {}; leave it out", input.documents, input.format);
  rules.require(!is_text || input.text_fields == CleanInput().text_fields,
                {name + ".text_fields", name + ".format"}, "text files have no fields; leave it out");
}

// What is written are JSON lines, which a name should not deny.
void check_output(const std::string& output, Rules& rules) {
  rules.require(!output.empty(), {"output"}, "expected a file to write, found an empty text");
  for (const std::string_view suffix :
       {".csv", ".tsv", ".txt", ".parquet", ".arrow", ".bz2", ".xz", ".lz4", ".zip"})
    rules.require(!output.ends_with(suffix), {"output"},
                  "JSON lines are written, not {}; end the name with .jsonl, .jsonl.gz or .jsonl.zst",
                  suffix);
}

template <typename T>
void check_order(const std::string& group, const char* low_name, const std::optional<T>& low,
                 const char* high_name, const std::optional<T>& high, Rules& rules) {
  rules.require(!low || !high || *low <= *high, {group + low_name, group + high_name},
                "{} is above {}{} {}: every document would be dropped", low.value_or(T{}), group, high_name,
                high.value_or(T{}));
}

void check_prose_rules(const CleanRules& limits, const std::string& group, Rules& rules) {
  const auto check_length = [&](const char* name, size_t length, size_t wanted) {
    rules.require(length == 0 || length == wanted, {group + name},
                  "expected {} numbers, or none to switch it off, found {}", wanted, length);
  };
  check_length("max_top_ngrams", limits.max_top_ngrams.size(), 3);
  check_length("max_duplicate_ngrams", limits.max_duplicate_ngrams.size(), 6);
  check_order(group, "min_words", limits.min_words, "max_words", limits.max_words, rules);
  check_order(group, "min_mean_word_length", limits.min_mean_word_length, "max_mean_word_length",
              limits.max_mean_word_length, rules);
}

}  // namespace

void check_clean_rules(const CleanConfig& config, Violations& violations) {
  Rules rules(violations, "clean.");
  rules.require(!config.inputs.empty(), {"inputs"}, "nothing to read; give at least one {{path: ...}}");
  for (size_t i = 0; i < config.inputs.size(); ++i)
    check_input(config.inputs[i], fmt::format("inputs[{}]", i), rules);
  check_output(config.output, rules);
  check_prose_rules(config.english_rules, "english_rules.", rules);
  check_prose_rules(config.chinese_rules, "chinese_rules.", rules);
  check_prose_rules(config.other_rules, "other_rules.", rules);
  check_order("code_rules.", "min_lines", config.code_rules.min_lines, "max_lines",
              config.code_rules.max_lines, rules);
  const int64_t num_hashes = config.duplicates.bands * config.duplicates.rows;
  rules.require(num_hashes <= 4096, {"duplicates.bands", "duplicates.rows"},
                "{} x clean.duplicates.rows {} = {} hashes per document; at most 4096",
                config.duplicates.bands, config.duplicates.rows, num_hashes);
}

}  // namespace athanor::configs
