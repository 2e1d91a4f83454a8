// The options as documentation: one option explained, the reference page, the JSON Schema for editors. All of
// it is made from `describe`.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "configs/option.h"

namespace athanor::configs {

/// All that is known of one option or section.
struct OptionFacts {
  std::string path;  ///< `training.max_steps`, `data.train[].path`; a section: `training`
  bool is_section = false;
  std::string type;  ///< `integer`, `list of number`, `text`, `section`, `list of sections`, ...
  Option option;
  std::string default_value;  ///< as YAML; empty for sections and required options
  /// Architectures whose default differs, with theirs (options of `model`).
  std::vector<std::pair<std::string, std::string>> other_defaults;
};

/// Every section and option, in the order of the file.
std::vector<OptionFacts> all_options();

/// The options that `key` names: a dotted path, a section with all in it, or the last part of a path wherever
/// it occurs. Throws UsageError with the nearest names when there is none.
std::vector<OptionFacts> find_options(const std::string& key);

/// Several lines for a terminal.
std::string explain_text(const OptionFacts& facts);

/// Sections and options, one line each.
std::string list_text(const std::vector<OptionFacts>& options);

/// The same as a JSON array (UTF-8, indented).
std::string explain_json(const std::vector<OptionFacts>& options);

/// docs/configuration.md.
std::string reference_markdown();

/// JSON Schema, draft 2020-12, of a configuration file.
std::string json_schema();

}  // namespace athanor::configs
