#include "configs/binder.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/core.h>
#include <fmt/format.h>

#include "configs/range.h"
#include "configs/scalar.h"

namespace athanor::configs {

namespace {

using Kind = YamlNode::Kind;

std::string kind_name(const YamlNode& node) {
  switch (node.kind) {
    case Kind::kNull:
      return "nothing";
    case Kind::kScalar:
      return in_backquotes(node.text);
    case Kind::kList:
      return "a list";
    case Kind::kMap:
      return "a section";
  }
  return "";
}

std::string join_path(const std::string& path, const std::string& name) {
  return path.empty() ? name : path + "." + name;
}

template <typename T>
constexpr const char* type_name() {
  if constexpr (std::is_same_v<T, bool>) return "true or false";
  if constexpr (std::is_same_v<T, int64_t>) return "an integer";
  if constexpr (std::is_same_v<T, double>) return "a number";
  return "text";
}

// Keys that people know from elsewhere and that no edit distance leads to.
std::string renamed_key(const std::string& key) {
  static const std::map<std::string, std::string> kNames = {
      {"lr", "learning_rate"},
      {"batch_size", "global_batch_size"},
      {"seq_len", "sequence_length"},
      {"seq_length", "sequence_length"},
      {"max_seq_len", "sequence_length"},
      {"dtype", "precision"},
      {"max_grad_norm", "grad_clip"},
      {"num_experts", "n_routed_experts"},
      {"num_local_experts", "n_routed_experts"},
      {"num_layers", "num_hidden_layers"},
      {"num_heads", "num_attention_heads"},
      {"num_train_epochs", "max_epochs"},
      {"model_type", "architecture"},
      {"output_dir", "dir"},
  };
  const auto found = kNames.find(key);
  return found == kNames.end() ? "" : found->second;
}

class Binder {
 public:
  Binder(const Fields& root, Diagnostics& diagnostics, Positions& positions)
      : root_(root), diagnostics_(diagnostics), positions_(positions) {}

  void bind_section(const YamlNode& node, const Fields& fields, const std::string& path) {
    if (node.kind == Kind::kNull) return;
    if (node.kind != Kind::kMap) {
      return report(node.position, path,
                    fmt::format("expected a section of `key: value` lines, found {}", kind_name(node)));
    }
    for (const YamlEntry& entry : node.entries) bind_entry(entry, fields, path);
    report_missing(node, fields, path);
  }

 private:
  void report(const Position& position, const std::string& path, const std::string& problem) {
    const std::string message = path.empty() ? problem : fmt::format("{}: {}", path, problem);
    diagnostics_.push_back({position, path, message});
  }

  void bind_entry(const YamlEntry& entry, const Fields& fields, const std::string& path) {
    const auto field =
        std::find_if(fields.begin(), fields.end(), [&](const Field& f) { return f.name == entry.key; });
    if (field == fields.end()) return report_unknown(entry, fields, path);
    const std::string field_path = join_path(path, field->name);
    positions_[field_path] = entry.value.position;
    std::visit([&](const auto& value) { bind_value(entry.value, *field, value, field_path); }, field->value);
  }

  void bind_value(const YamlNode& node, const Field&, const Fields& fields, const std::string& path) {
    bind_section(node, fields, path);
  }

  void bind_value(const YamlNode& node, const Field&, const SectionList& sections, const std::string& path) {
    if (node.kind != Kind::kList) {
      return report(node.position, path,
                    fmt::format("expected a list of sections, found {}", kind_name(node)));
    }
    sections.resize(node.items.size());
    for (size_t i = 0; i < node.items.size(); ++i) {
      bind_element(node.items[i], sections.at(i), fmt::format("{}[{}]", path, i));
    }
  }

  void bind_element(const YamlNode& node, const Fields& fields, const std::string& path) {
    positions_[path] = node.position;
    bind_section(node, fields, path);
    if (node.kind == Kind::kNull) report_missing(node, fields, path);
  }

  void report_missing(const YamlNode& node, const Fields& fields, const std::string& path) {
    for (const Field& field : fields) {
      const bool is_missing = field.option.is_required && node.find(field.name) == nullptr;
      if (is_missing) report(node.position, join_path(path, field.name), "must be given");
    }
  }

  template <typename T>
  void bind_value(const YamlNode& node, const Field& field, std::optional<T>* member,
                  const std::string& path) {
    if (node.kind == Kind::kNull) {
      member->reset();
    } else if (std::optional<T> value = read<T>(node, field.option, path)) {
      *member = std::move(value);
    }
  }

  template <typename T>
  void bind_value(const YamlNode& node, const Field& field, std::vector<T>* member, const std::string& path) {
    if (node.kind != Kind::kList) {
      return report(node.position, path,
                    fmt::format("expected a list such as [a, b], found {}", kind_name(node)));
    }
    std::vector<T> values;
    for (size_t i = 0; i < node.items.size(); ++i) {
      const std::optional<T> value = read<T>(node.items[i], field.option, fmt::format("{}[{}]", path, i));
      if (value) values.push_back(*value);
    }
    *member = std::move(values);
  }

  template <typename T>
  void bind_value(const YamlNode& node, const Field& field, T* member, const std::string& path) {
    if (std::optional<T> value = read<T>(node, field.option, path)) *member = std::move(*value);
  }

  // The value with its type and range checked.
  template <typename T>
  std::optional<T> read(const YamlNode& node, const Option& option, const std::string& path) {
    Read<T> result = read_scalar<T>(node, option);
    if (result.value) result.problem = range_problem(option, *result.value);
    if (result.problem.empty()) return result.value;
    report(node.position, path, result.problem);
    return std::nullopt;
  }

  template <typename T>
  Read<T> read_scalar(const YamlNode& node, const Option& option) {
    if constexpr (std::is_same_v<T, int64_t>) {
      const std::string word = node.kind == Kind::kNull ? "null" : node.text;
      if (!option.word_for_zero.empty() && word == option.word_for_zero) return {0, ""};
    }
    if (node.kind != Kind::kScalar) {
      return {std::nullopt, fmt::format("expected {}, found {}", type_name<T>(), kind_name(node))};
    }
    if constexpr (std::is_same_v<T, std::string>) return {node.text, ""};
    if (node.text.empty())
      return {std::nullopt, fmt::format("expected {}, found an empty text", type_name<T>())};
    if (node.is_quoted) {
      return {std::nullopt, fmt::format("expected {}, found the quoted text {}; remove the quotes",
                                        type_name<T>(), in_backquotes(node.text))};
    }
    if constexpr (std::is_same_v<T, bool>) return read_bool(node.text);
    if constexpr (std::is_same_v<T, int64_t>) return with_word(read_integer(node.text), option);
    if constexpr (std::is_same_v<T, double>) return read_number(node.text);
    return {};
  }

  static Read<int64_t> with_word(Read<int64_t> result, const Option& option) {
    if (!result.value && !option.word_for_zero.empty())
      result.problem += " (or `" + option.word_for_zero + "`)";
    return result;
  }

  void report_unknown(const YamlEntry& entry, const Fields& fields, const std::string& path) {
    const std::string where = path.empty() ? "at the top level" : fmt::format("in {}", in_backquotes(path));
    diagnostics_.push_back(
        {entry.key_position, join_path(path, entry.key),
         fmt::format("unknown key {} {}{}", in_backquotes(entry.key), where, hint(entry.key, fields))});
  }

  std::string hint(const std::string& key, const Fields& fields) const {
    std::vector<std::string> names;
    for (const Field& field : fields) names.push_back(field.name);
    const std::string renamed = renamed_key(key);
    if (std::find(names.begin(), names.end(), renamed) != names.end()) {
      return fmt::format("; it is called {} here", in_backquotes(renamed));
    }
    const std::string known = renamed.empty() ? key : renamed;
    const std::string home = section_of(known);
    if (!home.empty()) return fmt::format("; {} belongs into {}", in_backquotes(known), in_backquotes(home));
    const std::string nearest = nearest_name(key, names);
    if (!nearest.empty()) return fmt::format("; did you mean {}?", in_backquotes(nearest));
    return fmt::format("; valid: {}", fmt::join(names, ", "));
  }

  // The top-level section that has an option of this name.
  std::string section_of(const std::string& key) const {
    for (const Field& field : root_) {
      const Fields* section = field.section();
      if (section == nullptr) continue;
      const bool is_here = std::any_of(section->begin(), section->end(),
                                       [&](const Field& option) { return option.name == key; });
      if (is_here) return field.name;
    }
    return "";
  }

  const Fields& root_;
  Diagnostics& diagnostics_;
  Positions& positions_;
};

void check_value(const Field& field, const std::string& path, Diagnostics& diagnostics);

void check_section(const Fields& fields, const std::string& path, Diagnostics& diagnostics) {
  for (const Field& field : fields) check_value(field, join_path(path, field.name), diagnostics);
}

template <typename T>
void check_member(const Option& option, const T& value, const std::string& path, Diagnostics& diagnostics) {
  const std::string problem = range_problem(option, value);
  if (!problem.empty()) diagnostics.push_back({{}, path, path + ": " + problem});
}

struct RangeCheck {
  const Option& option;
  const std::string& path;
  Diagnostics& diagnostics;

  void operator()(const Fields& fields) const { check_section(fields, path, diagnostics); }
  void operator()(const SectionList& sections) const {
    for (size_t i = 0; i < sections.size(); ++i) {
      check_section(sections.at(i), fmt::format("{}[{}]", path, i), diagnostics);
    }
  }
  template <typename T>
  void operator()(const std::optional<T>* value) const {
    if (*value) check_member(option, **value, path, diagnostics);
  }
  template <typename T>
  void operator()(const std::vector<T>* values) const {
    for (size_t i = 0; i < values->size(); ++i) {
      check_member<T>(option, (*values)[i], fmt::format("{}[{}]", path, i), diagnostics);
    }
  }
  template <typename T>
  void operator()(const T* value) const {
    check_member(option, *value, path, diagnostics);
  }
};

void check_value(const Field& field, const std::string& path, Diagnostics& diagnostics) {
  std::visit(RangeCheck{field.option, path, diagnostics}, field.value);
}

}  // namespace

void bind_tree(const YamlNode& root, const Fields& fields, Diagnostics& diagnostics, Positions& positions) {
  Binder(fields, diagnostics, positions).bind_section(root, fields, "");
}

void check_ranges(const Fields& fields, Diagnostics& diagnostics) {
  check_section(fields, "", diagnostics);
}

}  // namespace athanor::configs
