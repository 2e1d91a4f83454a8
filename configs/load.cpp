#include "configs/load.h"

#include <algorithm>
#include <set>

#include <fmt/core.h>

#include "configs/binder.h"
#include "configs/field.h"
#include "configs/yaml_tree.h"
#include "core/error.h"
#include "core/file_system.h"
#include "core/output_files.h"

namespace athanor::configs {

namespace {

std::string read_config_text(const std::string& path) {
  core::FileSystem& files = core::posix_file_system();
  if (path != "-" && !files.exists(path))
    throw core::MissingInputError("{}: no such configuration file (`athanor init --list` names templates)",
                                  path);
  try {
    return core::read_text_file(files, path, kMaxYamlBytes);
  } catch (const core::DataError& error) {  // a directory, or too long
    throw core::ConfigError("{}", error.what());
  }
}

// `data.train[0].path` makes data.train suspect, but not all of `data`.
void add_with_parents(std::string key, std::set<std::string>& keys) {
  for (size_t bracket = key.rfind('['); bracket != std::string::npos; bracket = key.rfind('[')) {
    keys.insert(key);
    key.resize(bracket);
  }
  keys.insert(key);
}

bool is_under(std::string key, const std::set<std::string>& keys) {
  while (keys.count(key) == 0) {
    const size_t dot = key.rfind('.');
    if (dot == std::string::npos) return false;
    key.resize(dot);
  }
  return true;
}

// The broken rules; but a rule about a value that is itself wrong would only confuse.
Violations telling_violations(const RunConfig& config, Purpose purpose, std::optional<int64_t> world_size,
                              const Diagnostics& diagnostics) {
  std::set<std::string> wrong;
  for (const Diagnostic& diagnostic : diagnostics) add_with_parents(diagnostic.key, wrong);
  Violations violations = broken_rules(config, purpose, world_size);
  std::erase_if(violations, [&](const Violation& violation) {
    return std::any_of(violation.keys.begin(), violation.keys.end(),
                       [&](const std::string& key) { return is_under(key, wrong); });
  });
  return violations;
}

// One reading of one text, from the tree to the rules.
class Loader {
 public:
  Loader(const std::string& source_name, const LoadOptions& options, RunConfig& config)
      : file_{std::make_shared<std::string>(source_name), 1, 1}, options_(options), config_(config) {}

  Diagnostics load(std::string_view text, const std::vector<std::string>& overrides) {
    YamlNode root = read_yaml(*file_.source, text, diagnostics_);
    const bool is_unreadable = root.kind == YamlNode::Kind::kNull && !diagnostics_.empty();
    if (is_unreadable) return std::move(diagnostics_);
    for (const std::string& assignment : overrides) apply_override(root, assignment, diagnostics_);
    use_architecture_defaults(root);
    bind_tree(root, fields_of(config_), diagnostics_, positions_);
    const bool is_no_section = root.kind == YamlNode::Kind::kScalar || root.kind == YamlNode::Kind::kList;
    if (is_no_section) return std::move(diagnostics_);
    if (options_.purpose == Purpose::kAsWritten)
      options_.purpose = is_for_cleaning(root) ? Purpose::kCleaning : Purpose::kTraining;
    check_options_beside_from(root);
    if (options_.purpose == Purpose::kCleaning && root.find("clean") == nullptr) {
      report("clean", "clean: the section must be given; it says what is read and what is kept");
    }
    check_rules();
    if (options_.is_input_checked) check_inputs();
    return std::move(diagnostics_);
  }

 private:
  static bool is_for_cleaning(const YamlNode& root) {
    return root.find("clean") != nullptr && root.find("data") == nullptr && root.find("training") == nullptr;
  }

  void use_architecture_defaults(const YamlNode& root) {
    const YamlNode* model = root.find("model");
    const YamlNode* architecture = model == nullptr ? nullptr : model->find("architecture");
    config_ = RunConfig{};
    config_.model = default_model(architecture == nullptr ? config_.model.architecture : architecture->text);
  }

  void check_options_beside_from(const YamlNode& root) {
    const YamlNode* model = root.find("model");
    if (model == nullptr || config_.model.from.empty()) return;
    for (const YamlEntry& entry : model->entries) {
      const std::string key = "model." + entry.key;
      if (may_stand_beside_from(entry.key) || positions_.count(key) == 0) continue;
      report(key, fmt::format("{}: model.from {} decides it; remove one of the two", key,
                              in_backquotes(config_.model.from)));
    }
  }

  void check_rules() {
    for (const Violation& violation :
         telling_violations(config_, options_.purpose, options_.world_size, diagnostics_))
      diagnostics_.push_back({position_of(violation.keys), violation.keys.front(), violation.message});
  }

  // The first of `keys` that the file gives, else the section of the first, else the start of the file.
  Position position_of(const std::vector<std::string>& keys) const {
    for (const std::string& key : keys) {
      const auto found = positions_.find(key);
      if (found != positions_.end()) return found->second;
    }
    const auto section = positions_.find(keys.front().substr(0, keys.front().find('.')));
    return section == positions_.end() ? file_ : section->second;
  }

  void report(const std::string& key, std::string message,
              Diagnostic::Kind kind = Diagnostic::Kind::kConfig) {
    diagnostics_.push_back({position_of({key}), key, std::move(message), kind});
  }

  void check_inputs() {
    if (options_.purpose == Purpose::kCleaning) return check_clean_files();
    check_exists("model.from", config_.model.from);
    check_exists("data.tokenizer", config_.data.tokenizer);
    check_sources("data.train", config_.data.train);
    check_sources("data.validation", config_.data.validation);
  }

  void check_clean_files() {
    check_sources("clean.inputs", config_.clean.inputs);
    std::vector<std::string> inputs;
    for (const CleanInput& input : config_.clean.inputs)
      for (std::string& path : core::glob(input.path)) inputs.push_back(std::move(path));
    const std::string problem = core::find_overwritten(
        inputs, {config_.clean.output, config_.clean.report, config_.clean.report_html});
    if (!problem.empty()) report("clean.output", "clean.output: " + problem);
  }

  void check_exists(const std::string& key, const std::string& path) {
    if (path.empty() || core::posix_file_system().exists(path)) return;
    report(key, fmt::format("{}: {} does not exist", key, in_backquotes(path)),
           Diagnostic::Kind::kMissingInput);
  }

  template <typename Source>
  void check_sources(const std::string& key, const std::vector<Source>& sources) {
    for (size_t i = 0; i < sources.size(); ++i) {
      if (sources[i].path.empty() || !core::glob(sources[i].path).empty()) continue;
      const std::string path_key = fmt::format("{}[{}].path", key, i);
      report(path_key, fmt::format("{}: no file matches {}", path_key, in_backquotes(sources[i].path)),
             Diagnostic::Kind::kMissingInput);
    }
  }

  Position file_;
  LoadOptions options_;
  RunConfig& config_;
  Diagnostics diagnostics_;
  Positions positions_;
};

}  // namespace

Diagnostics check_text(const std::string& source_name, std::string_view text,
                       const std::vector<std::string>& overrides, const LoadOptions& options,
                       RunConfig& config) {
  return Loader(source_name, options, config).load(text, overrides);
}

Diagnostics check_file(const std::string& path, const std::vector<std::string>& overrides,
                       const LoadOptions& options) {
  RunConfig config;
  return check_text(path, read_config_text(path), overrides, options, config);
}

RunConfig load_run_config(const std::string& path, const std::vector<std::string>& overrides,
                          const LoadOptions& options) {
  RunConfig config;
  throw_if_any(path, check_text(path, read_config_text(path), overrides, options, config));
  return config;
}

void validate(const RunConfig& config, std::optional<int64_t> world_size, Purpose purpose) {
  RunConfig checked = config;
  Diagnostics diagnostics;
  check_ranges(fields_of(checked), diagnostics);
  for (const Violation& violation : telling_violations(config, purpose, world_size, diagnostics))
    diagnostics.push_back({{}, violation.keys.front(), violation.message});
  throw_if_any("configuration", diagnostics);
}

}  // namespace athanor::configs
