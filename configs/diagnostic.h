// What is wrong with a configuration, and where.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace athanor::configs {

/// A place in a file, or an override of the command line (then line and column are 0).
struct Position {
  std::shared_ptr<const std::string> source;  ///< file name, or `command line: section.key=value`
  int line = 0;                               ///< from 1
  int column = 0;                             ///< from 1, in bytes
};

struct Diagnostic {
  enum class Kind { kConfig, kMissingInput };  ///< decides the exit code: 78 or 66

  Position position;
  std::string key;  ///< dotted, `data.train[0].path`; empty: the file as a whole
  std::string message;
  Kind kind = Kind::kConfig;
};

using Diagnostics = std::vector<Diagnostic>;

/// `run.yaml:3:5: error: message`
std::string to_string(const Diagnostic& diagnostic);

/// One line each, in the order of the file, at most 100 and then how many more there are.
std::string to_string(Diagnostics diagnostics);

/// Throws ConfigError, or MissingInputError when nothing but missing files is wrong, with all messages;
/// returns when there are none.
void throw_if_any(const std::string& path, const Diagnostics& diagnostics);

/// `text` in backquotes, shortened and without control characters, for messages.
std::string in_backquotes(std::string_view text);

/// The candidate that `name` is most likely a slip of, or nothing (empty) when none is near.
std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace athanor::configs
