// `check`, `explain`, `schema` and `init`: everything about a configuration that needs no model, no ranks and
// no GPU.
#include <memory>
#include <string>
#include <vector>

#include "configs/load.h"
#include "configs/reference.h"
#include "configs/templates.h"
#include "core/error.h"
#include "core/json.h"
#include "launch/commands.h"
#include "launch/output.h"

namespace athanor::launch {

namespace {

struct CheckArguments {
  std::string path;
  std::vector<std::string> overrides;
  int64_t world_size = 0;
  bool is_json = false;
};

nlohmann::ordered_json diagnostic_json(const configs::Diagnostic& diagnostic) {
  const bool is_missing = diagnostic.kind == configs::Diagnostic::Kind::kMissingInput;
  return {{"source", diagnostic.position.source ? *diagnostic.position.source : ""},
          {"line", diagnostic.position.line},
          {"column", diagnostic.position.column},
          {"key", diagnostic.key},
          {"kind", is_missing ? "missing_input" : "configuration"},
          {"message", diagnostic.message}};
}

std::string check_json(const std::string& path, const configs::Diagnostics& diagnostics) {
  nlohmann::ordered_json report = {{"file", path}, {"ok", diagnostics.empty()}};
  report["errors"] = nlohmann::ordered_json::array();
  for (const configs::Diagnostic& diagnostic : diagnostics) {
    report["errors"].push_back(diagnostic_json(diagnostic));
  }
  // Override text may hold any bytes; a report must be JSON all the same.
  return report.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

void check(const CheckArguments& arguments) {
  configs::LoadOptions options{.purpose = configs::Purpose::kAsWritten, .is_input_checked = true};
  if (arguments.world_size > 0) options.world_size = arguments.world_size;
  const configs::Diagnostics diagnostics = configs::check_file(arguments.path, arguments.overrides, options);
  if (arguments.is_json) print(check_json(arguments.path, diagnostics));
  configs::throw_if_any(arguments.path, diagnostics);
  if (!arguments.is_json) print(arguments.path + ": ok\n");
}

void add_check(Command root) {
  Command command = root.add_command("check", "Reports every error of a configuration at once");
  const auto arguments = std::make_shared<CheckArguments>();
  command.add_option("config", arguments->path, "configuration file").required();
  command.add_option("overrides", arguments->overrides, "section.key=value, applied over the file");
  command.add_option("-n,--ranks", arguments->world_size, "check the layout for so many ranks")
      .between(1, 1 << 20);
  command.add_flag("--json", arguments->is_json, "print the errors as JSON");
  command.runs([arguments] { check(*arguments); });
}

struct ExplainArguments {
  std::string key;
  bool is_json = false;
  bool is_markdown = false;
};

std::string explain_as_text(const std::vector<configs::OptionFacts>& options) {
  std::string text;
  for (const configs::OptionFacts& facts : options) {
    text += (text.empty() ? "" : "\n") + configs::explain_text(facts);
  }
  return text;
}

void explain(const ExplainArguments& arguments) {
  if (arguments.is_markdown) return print(configs::reference_markdown());
  const bool is_everything = arguments.key.empty();
  const std::vector<configs::OptionFacts> options =
      is_everything ? configs::all_options() : configs::find_options(arguments.key);
  if (arguments.is_json) return print(configs::explain_json(options));
  print(is_everything ? configs::list_text(options) : explain_as_text(options));
}

void add_explain(Command root) {
  Command command = root.add_command("explain", "An option's meaning, type, unit, default and range");
  const auto arguments = std::make_shared<ExplainArguments>();
  command.add_option("key", arguments->key, "option or section, such as training.max_steps (none: list all)");
  const Option json = command.add_flag("--json", arguments->is_json, "print JSON");
  command.add_flag("--markdown", arguments->is_markdown, "print the whole reference page").excludes(json);
  command.runs([arguments] { explain(*arguments); });
}

void add_schema(Command root) {
  Command command = root.add_command("schema", "The JSON Schema of a configuration, for editors");
  command.runs([] { print(configs::json_schema()); });
}

struct InitArguments {
  std::string name;
  bool is_list = false;
  bool is_json = false;
};

std::string template_list(bool is_json) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  std::string text;
  for (const configs::ConfigTemplate& entry : configs::config_templates()) {
    json.push_back({{"name", entry.name}, {"meaning", entry.meaning}});
    text += fmt::format("{:<20} {}\n", entry.name, entry.meaning);
  }
  return is_json ? json.dump(2) + "\n" : text;
}

void init(const InitArguments& arguments) {
  if (arguments.is_list) return print(template_list(arguments.is_json));
  if (arguments.name.empty())
    throw core::UsageError("init: expected a template; `athanor init --list` names them");
  print(configs::render_template(arguments.name));
}

void add_init(Command root) {
  Command command = root.add_command("init", "Prints a commented configuration to start from");
  const auto arguments = std::make_shared<InitArguments>();
  command.add_option("template", arguments->name, "which one");
  command.add_flag("--list", arguments->is_list, "list the templates");
  command.add_flag("--json", arguments->is_json, "with --list: print JSON");
  command.runs([arguments] { init(*arguments); });
}

}  // namespace

void add_config_commands(Command root) {
  add_check(root);
  add_explain(root);
  add_schema(root);
  add_init(root);
}

}  // namespace athanor::launch
