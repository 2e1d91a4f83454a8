#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

#include <fmt/core.h>

#include "configs/yaml_tree.h"

namespace athanor::configs {

namespace {

using Kind = YamlNode::Kind;

constexpr size_t kMaxListElements = 10'000;

bool is_null_word(std::string_view text) {
  return text == "null" || text == "~";
}

// The value's text as a node; every part of it stands at `position`. Nothing when it is broken.
std::optional<YamlNode> value_node(const std::string& text, const Position& position,
                                   Diagnostics& diagnostics) {
  const bool is_yaml = !text.empty() && std::string_view("[{\"'").find(text[0]) != std::string_view::npos;
  if (is_yaml) {
    Diagnostics problems;
    YamlNode node = read_yaml(*position.source, text, problems);
    for (Diagnostic& problem : problems) diagnostics.push_back({position, "", std::move(problem.message)});
    return problems.empty() ? std::optional(std::move(node)) : std::nullopt;
  }
  YamlNode node;
  node.kind = is_null_word(text) ? Kind::kNull : Kind::kScalar;
  node.text = text;
  node.is_quoted = text.empty();
  return node;
}

void place(YamlNode& node, const Position& position) {
  node.position = position;
  for (YamlNode& item : node.items) place(item, position);
  for (YamlEntry& entry : node.entries) {
    entry.key_position = position;
    place(entry.value, position);
  }
}

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> names;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('.', begin), path.size());
    names.emplace_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return names;
}

std::optional<size_t> list_index(const std::string& name) {
  size_t idx = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), idx);
  const bool is_whole = error == std::errc() && end == name.data() + name.size();
  return is_whole ? std::optional(idx) : std::nullopt;
}

YamlNode* element(YamlNode& list, const std::string& name) {
  const std::optional<size_t> idx = list_index(name);
  const bool is_next_or_there = idx && *idx <= list.items.size() && *idx < kMaxListElements;
  if (!is_next_or_there) return nullptr;
  if (*idx == list.items.size()) list.items.emplace_back();
  return &list.items[*idx];
}

// Anything but a map or list that stands in the way is replaced: the override wins.
YamlNode* child(YamlNode& node, const std::string& name, const Position& position) {
  if (node.kind == Kind::kList) return element(node, name);
  if (node.kind != Kind::kMap) {
    node = YamlNode{};
    node.kind = Kind::kMap;
    node.position = position;
  }
  for (YamlEntry& entry : node.entries) {
    if (entry.key == name) return &entry.value;
  }
  node.entries.push_back({name, position, {}});
  return &node.entries.back().value;
}

}  // namespace

void apply_override(YamlNode& root, const std::string& assignment, Diagnostics& diagnostics) {
  const std::string shown = in_backquotes(assignment);
  const Position position{
      std::make_shared<std::string>("command line: " + shown.substr(1, shown.size() - 2))};
  const auto refuse = [&](std::string why) {
    diagnostics.push_back({position, "command line", std::move(why)});
  };

  const size_t equals = assignment.find('=');
  if (equals == std::string::npos) return refuse("expected section.key=value");
  const std::vector<std::string> names = split_path(std::string_view(assignment).substr(0, equals));
  const bool has_empty_name =
      std::any_of(names.begin(), names.end(), [](const auto& n) { return n.empty(); });
  if (has_empty_name || names.size() > kMaxYamlDepth) return refuse("expected section.key before `=`");

  YamlNode* node = &root;
  for (const std::string& name : names) {
    if (node->kind == Kind::kList) node->position = position;  // its length, say, is the command line's doing
    node = child(*node, name, position);
    if (node == nullptr)
      return refuse(fmt::format("{} is not an element of the list (they count from 0)", in_backquotes(name)));
  }
  std::optional<YamlNode> value = value_node(assignment.substr(equals + 1), position, diagnostics);
  if (!value) return;
  *node = std::move(*value);
  place(*node, position);
}

}  // namespace athanor::configs
