#include "configs/yaml_tree.h"

#include <exception>
#include <sstream>
#include <unordered_map>
#include <utility>

#include <fmt/core.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include "configs/utf8.h"

namespace athanor::configs {

namespace {

using Kind = YamlNode::Kind;

constexpr const char* kNoAliases =
    "aliases (*name) are not allowed; write the value out, or quote text that starts with `*`";

// Ends the reading from inside the parser's callbacks.
struct StopReading {
  Diagnostic reason;
};

// Builds the tree from the parser's events; `open_` holds the containers whose end has not come yet.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(std::string source_name, Diagnostics& diagnostics)
      : source_(std::make_shared<std::string>(std::move(source_name))), diagnostics_(diagnostics) {}

  YamlNode take_root() { return std::move(root_); }

  Position at(const YAML::Mark& mark) const {
    return mark.is_null() ? Position{source_, 1, 1} : Position{source_, mark.line + 1, mark.column + 1};
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (num_documents_++ > 0) stop(mark, "a second document starts here; a configuration is one document");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_anchor(mark, anchor);
    add(make_node(Kind::kNull, mark));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    report(mark, kNoAliases);
    add(make_node(Kind::kNull, mark));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    YamlNode node = make_node(Kind::kScalar, mark);
    node.text = value;
    node.is_quoted = tag == "!";
    add(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(Kind::kList, mark, tag, anchor);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Kind::kMap, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

 private:
  struct OpenContainer {
    YamlNode node;
    bool has_key = false;
    bool is_key_usable = false;
    std::string key;
    Position key_position;
    std::unordered_map<std::string, int> line_of_key;
  };

  void report(const YAML::Mark& mark, std::string message) {
    diagnostics_.push_back({at(mark), "", std::move(message)});
  }
  [[noreturn]] void stop(const YAML::Mark& mark, std::string message) {
    throw StopReading{{at(mark), "", std::move(message)}};
  }

  void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) report(mark, "anchors (&name) are not allowed; write the value out where it is needed");
  }
  void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!") {
      report(mark, fmt::format("tags such as {} are not allowed; remove it", in_backquotes(tag)));
    }
  }

  YamlNode make_node(Kind kind, const YAML::Mark& mark) {
    if (++num_values_ > kMaxYamlValues) {
      stop(mark, fmt::format("more than {} values; a configuration has far fewer", kMaxYamlValues));
    }
    YamlNode node;
    node.kind = kind;
    node.position = at(mark);
    return node;
  }

  void open(Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    if (open_.size() >= kMaxYamlDepth) {
      stop(mark, fmt::format("nested more than {} levels deep", kMaxYamlDepth));
    }
    open_.emplace_back();
    open_.back().node = make_node(kind, mark);
  }

  void close() {
    YamlNode node = std::move(open_.back().node);
    open_.pop_back();
    add(std::move(node));
  }

  void add(YamlNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
    } else if (open_.back().node.kind == Kind::kList) {
      open_.back().node.items.push_back(std::move(node));
    } else if (!open_.back().has_key) {
      add_key(open_.back(), std::move(node));
    } else {
      add_value(open_.back(), std::move(node));
    }
  }

  void add_key(OpenContainer& map, YamlNode node) {
    map.has_key = true;
    map.is_key_usable = is_usable_key(map, node);
    map.key = std::move(node.text);
    map.key_position = std::move(node.position);
  }

  bool is_usable_key(OpenContainer& map, const YamlNode& node) {
    const auto refuse = [&](std::string why) {
      diagnostics_.push_back({node.position, "", std::move(why)});
      return false;
    };
    if (node.kind != Kind::kScalar) return refuse("expected a name before `:`");
    if (node.text == "<<") return refuse("merge keys (<<) are not allowed; write the values out");
    const auto [first, is_new] = map.line_of_key.emplace(node.text, node.position.line);
    if (!is_new) {
      return refuse(fmt::format("{} is given twice in the same section, first in line {}; keep one of them",
                                in_backquotes(node.text), first->second));
    }
    return true;
  }

  void add_value(OpenContainer& map, YamlNode node) {
    map.has_key = false;
    if (!map.is_key_usable) return;
    // The parser places a value that is not there on a later line.
    if (node.position.line != map.key_position.line && node.kind == Kind::kNull) {
      node.position = map.key_position;
    }
    map.node.entries.push_back({std::move(map.key), std::move(map.key_position), std::move(node)});
  }

  std::shared_ptr<const std::string> source_;
  Diagnostics& diagnostics_;
  std::vector<OpenContainer> open_;
  YamlNode root_;
  size_t num_values_ = 0;
  int num_documents_ = 0;
};

// Refuses what the parser would guess an encoding from, or pass on to a terminal.
bool is_readable_text(const std::string& source_name, std::string_view text, Diagnostics& diagnostics) {
  Diagnostic problem;
  problem.position.source = std::make_shared<std::string>(source_name);
  const std::optional<TextFault> fault = find_text_fault(text.substr(0, kMaxYamlBytes));
  if (text.size() > kMaxYamlBytes) {
    problem.message =
        fmt::format("{} bytes long; a configuration has at most {} bytes", text.size(), kMaxYamlBytes);
  } else if (fault) {
    problem.position.line = fault->line;
    problem.position.column = fault->column;
    problem.message = fmt::format("not a text file: {} (expected UTF-8)", fault->what);
  } else {
    return true;
  }
  diagnostics.push_back(std::move(problem));
  return false;
}

std::string_view line_of(std::string_view text, int line) {
  for (; line > 0 && text.find('\n') != std::string_view::npos; --line)
    text.remove_prefix(text.find('\n') + 1);
  return text.substr(0, text.find('\n'));
}

// The parser's own words for the two most frequent slips do not help.
std::string describe_syntax_error(const YAML::Exception& error, std::string_view text) {
  if (error.msg.rfind(YAML::ErrorMsg::UNKNOWN_ANCHOR, 0) == 0) return kNoAliases;
  const std::string_view line = error.mark.is_null() ? "" : line_of(text, error.mark.line);
  const bool has_tab = line.substr(0, line.find_first_not_of(" \t")).find('\t') != std::string_view::npos;
  return "not valid YAML: " + error.msg + (has_tab ? "; the line is indented with a tab, use spaces" : "");
}

}  // namespace

const YamlNode* YamlNode::find(std::string_view key) const {
  for (const YamlEntry& entry : entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

YamlNode read_yaml(const std::string& source_name, std::string_view text, Diagnostics& diagnostics) {
  if (!is_readable_text(source_name, text, diagnostics)) return {};
  TreeBuilder builder(source_name, diagnostics);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) continue;
    return builder.take_root();
  } catch (const StopReading& stop) {
    diagnostics.push_back(stop.reason);
  } catch (const YAML::Exception& error) {
    diagnostics.push_back({builder.at(error.mark), "", describe_syntax_error(error, text)});
  }
  return {};
}

}  // namespace athanor::configs
