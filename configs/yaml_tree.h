// A configuration file as a tree that remembers where everything stands. The only reader of YAML.
//
// The text is hostile: at most 1 MiB, 100,000 values and 64 levels; valid UTF-8 without control characters;
// one document; no anchors, aliases, merge keys or tags; no key twice. Whatever else it holds, reading ends
// with a tree or with diagnostics.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "configs/diagnostic.h"

namespace athanor::configs {

inline constexpr size_t kMaxYamlBytes = size_t{1} << 20;
inline constexpr size_t kMaxYamlValues = 100'000;
inline constexpr size_t kMaxYamlDepth = 64;

struct YamlEntry;

struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  Position position;
  std::string text;  ///< of a scalar
  bool is_quoted =
      false;  ///< a scalar that was written in quotes or as a block is text, whatever it looks like
  std::vector<YamlNode> items;
  std::vector<YamlEntry> entries;

  const YamlNode* find(std::string_view key) const;
};

struct YamlEntry {
  std::string key;
  Position key_position;
  YamlNode value;
};

/// Reads a whole document. Syntax errors end the reading (one diagnostic, an empty node); duplicate keys,
/// aliases and tags are reported and left out, so that everything else is still checked.
YamlNode read_yaml(const std::string& source_name, std::string_view text, Diagnostics& diagnostics);

/// Puts `section.key=value` into `root`, replacing what was there; list elements are addressed by their
/// number
/// (`data.train.0.path`). A value that starts with a bracket, brace or quote is YAML, any other is taken as
/// written.
void apply_override(YamlNode& root, const std::string& assignment, Diagnostics& diagnostics);

}  // namespace athanor::configs
