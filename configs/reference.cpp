#include "configs/reference.h"

#include <algorithm>
#include <iterator>

#include <fmt/core.h>
#include <fmt/format.h>

#include "configs/diagnostic.h"
#include "configs/field.h"
#include "configs/print.h"
#include "configs/range.h"
#include "configs/run_config.h"
#include "core/error.h"

namespace athanor::configs {

namespace {

template <typename T>
std::string scalar_type() {
  if constexpr (std::is_same_v<T, bool>) return "boolean";
  if constexpr (std::is_same_v<T, int64_t>) return "integer";
  if constexpr (std::is_same_v<T, double>) return "number";
  return "text";
}

struct TypeName {
  std::string operator()(const Fields&) const { return "section"; }
  std::string operator()(const SectionList&) const { return "list of sections"; }
  template <typename T>
  std::string operator()(const T*) const {
    return scalar_type<T>();
  }
  template <typename T>
  std::string operator()(const std::optional<T>*) const {
    return scalar_type<T>() + " or null";
  }
  template <typename T>
  std::string operator()(const std::vector<T>*) const {
    return "list of " + scalar_type<T>();
  }
};

std::string type_of(const Field& field) {
  return field.option.is_duration ? "duration" : std::visit(TypeName{}, field.value);
}

void append_facts(const Fields& fields, const std::string& prefix, std::vector<OptionFacts>& all) {
  for (const Field& field : fields) {
    const std::string path = prefix + field.name;
    const Fields* section = field.section();
    const bool has_default = section == nullptr && !field.option.is_required;
    all.push_back({.path = path,
                   .is_section = section != nullptr,
                   .type = type_of(field),
                   .option = field.option,
                   .default_value = has_default ? print_value(field) : "",
                   .other_defaults = {}});
    if (section != nullptr) append_facts(*section, path + ".", all);
    if (field.section_list() != nullptr)
      append_facts(field.section_list()->default_element(), path + "[].", all);
  }
}

std::vector<OptionFacts> facts_of(RunConfig config) {
  std::vector<OptionFacts> all;
  append_facts(fields_of(config), "", all);
  return all;
}

// Only the options of `model` depend on the architecture.
void add_other_defaults(const std::string& architecture, std::vector<OptionFacts>& all) {
  RunConfig config;
  config.model = default_model(architecture);
  const std::vector<OptionFacts> others = facts_of(config);
  for (size_t i = 0; i < all.size(); ++i) {
    const bool is_other =
        others[i].default_value != all[i].default_value && all[i].path != "model.architecture";
    if (is_other) all[i].other_defaults.emplace_back(architecture, others[i].default_value);
  }
}

std::string last_name(const std::string& path) {
  return path.substr(path.rfind('.') + 1);
}

// `data.train[0].path` and `data.train.path` mean `data.train[].path`.
std::string without_indices(const std::string& path) {
  std::string plain;
  bool is_inside = false;
  for (const char c : path) {
    if (c == '[') is_inside = true;
    if (!is_inside) plain += c;
    if (c == ']') is_inside = false;
  }
  return plain;
}

[[noreturn]] void throw_unknown(const std::string& key, const std::vector<OptionFacts>& all) {
  std::vector<std::string> names;
  for (const OptionFacts& facts : all) names.push_back(facts.path);
  std::string nearest = nearest_name(key, names);
  for (const OptionFacts& facts : all) {
    const bool is_near = nearest.empty() && nearest_name(key, {last_name(facts.path)}) != "";
    if (is_near) nearest = facts.path;
  }
  const std::string hint = nearest.empty() ? "`athanor explain` lists all"
                                           : fmt::format("did you mean {}?", in_backquotes(nearest));
  throw core::UsageError("there is no option {}; {}", in_backquotes(key), hint);
}

std::string default_text(const OptionFacts& facts) {
  std::string text = facts.option.is_required ? "none; must be given" : facts.default_value;
  for (size_t i = 0; i < facts.other_defaults.size(); ++i) {
    const auto& [architecture, value] = facts.other_defaults[i];
    text += fmt::format("{}{}: {}", i == 0 ? " (" : ", ", architecture, value);
  }
  return facts.other_defaults.empty() ? text : text + ")";
}

std::string allowed_text(const OptionFacts& facts) {
  const Option& option = facts.option;
  if (!option.choices.empty()) return fmt::format("{}", fmt::join(option.choices, ", "));
  std::string text = describe_range(option);
  if (!option.word_for_zero.empty()) text += fmt::format(" ({} means 0)", option.word_for_zero);
  return text;
}

std::string markdown_cell(std::string text) {
  for (size_t bar = text.find('|'); bar != std::string::npos; bar = text.find('|', bar + 2))
    text.insert(bar, "\\");
  return text;
}

std::string code(const std::string& text) {
  return text.empty() ? "" : "`" + text + "`";
}

std::string markdown_default(const OptionFacts& facts) {
  if (facts.option.is_required) return "required";
  std::string text = code(facts.default_value);
  for (const auto& [architecture, value] : facts.other_defaults) {
    text += fmt::format("; {}: {}", architecture, code(value));
  }
  return text;
}

std::string markdown_row(const OptionFacts& facts, const std::string& name) {
  std::string allowed = allowed_text(facts);
  if (!facts.option.unavailable.empty()) {
    allowed += fmt::format(" (not in this version: {})", fmt::join(facts.option.unavailable, ", "));
  }
  return fmt::format("| `{}` | {} | {} | {} | {} |\n", name, facts.type, markdown_default(facts),
                     markdown_cell(allowed), markdown_cell(facts.option.meaning));
}

constexpr const char* kMarkdownIntroduction = R"(# Configuration

This page is made by `athanor explain --markdown`; change the descriptions in `configs/`, not the page.

One YAML file is one run. `athanor init TEMPLATE > run.yaml` writes a commented start, `athanor check run.yaml` reports
every error at once as `file:line:col: error: ...`, `athanor explain KEY` explains one option, `athanor schema` prints
the JSON Schema that editors complete from. `section.key=value` on the command line overrides the file; list elements
are addressed by number (`data.train.0.path=...`).

Values are strict. Unknown keys, wrong types, values out of range and combinations that cannot work are errors.
Integers are decimal digits (`1_000` is allowed, `1e3` is not), booleans are `true` and `false`, numbers are finite.
Anchors, aliases, tags and duplicate keys are refused. A duration is `60s`, `5m`, `2h`, `1d`, or a number of steps:
`100` or `100 steps`; `0` means never.

`model.from` takes the shape of the network from the directory it names; of the other options of `model` only the
weights of the auxiliary losses and the update rate of the router bias may stand beside it.
)";

constexpr const char* kTableHead =
    "\n| option | type | default | allowed | meaning |\n|---|---|---|---|---|\n";

}  // namespace

std::vector<OptionFacts> all_options() {
  std::vector<OptionFacts> all = facts_of({});
  for (const char* architecture : {"llama", "qwen2", "qwen3_moe"}) add_other_defaults(architecture, all);
  return all;
}

std::vector<OptionFacts> find_options(const std::string& key) {
  const std::vector<OptionFacts> all = all_options();
  const std::string wanted = without_indices(key);
  std::vector<OptionFacts> found;
  const auto take = [&](auto is_wanted) {
    std::copy_if(all.begin(), all.end(), std::back_inserter(found), is_wanted);
  };
  take([&](const OptionFacts& facts) {
    const std::string path = without_indices(facts.path);
    return path == wanted || path.rfind(wanted + ".", 0) == 0;
  });
  if (found.empty()) take([&](const OptionFacts& facts) { return last_name(facts.path) == wanted; });
  if (found.empty()) throw_unknown(key, all);
  return found;
}

std::string explain_text(const OptionFacts& facts) {
  std::string text = fmt::format("{}\n  {}\n", facts.path, facts.option.meaning);
  const auto line = [&](const char* name, const std::string& value) {
    if (!value.empty()) text += fmt::format("  {:<10} {}\n", name, value);
  };
  line("type", facts.type);
  line("unit", facts.option.unit);
  if (!facts.is_section) line("default", default_text(facts));
  line(facts.option.choices.empty() ? "range" : "choices", allowed_text(facts));
  line("later", fmt::format("{}", fmt::join(facts.option.unavailable, ", ")));
  return text;
}

std::string list_text(const std::vector<OptionFacts>& options) {
  std::string text;
  for (const OptionFacts& facts : options) {
    const bool is_top = facts.path.find('.') == std::string::npos;
    const std::string shown =
        facts.is_section ? facts.path : fmt::format("  {} = {}", facts.path, facts.default_value);
    text += fmt::format("{}{:<52} {}\n", is_top && facts.is_section && !text.empty() ? "\n" : "", shown,
                        facts.option.meaning);
  }
  return text;
}

std::string reference_markdown() {
  std::string page = kMarkdownIntroduction;
  page += "\n## Top level\n";
  page += kTableHead;
  const std::vector<OptionFacts> all = all_options();
  for (const OptionFacts& facts : all) {
    const bool is_top_option = facts.path.find('.') == std::string::npos && !facts.is_section;
    if (is_top_option) page += markdown_row(facts, facts.path);
  }
  for (const OptionFacts& facts : all) {
    const bool is_top = facts.path.find('.') == std::string::npos;
    if (is_top && facts.is_section) {
      page += fmt::format("\n## `{}`: {}\n{}", facts.path, facts.option.meaning, kTableHead);
    } else if (!is_top && !facts.is_section) {
      page += markdown_row(facts, facts.path.substr(facts.path.find('.') + 1));
    }
  }
  return page;
}

}  // namespace athanor::configs
