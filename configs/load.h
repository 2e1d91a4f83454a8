// Reading, checking and writing a run's configuration.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "configs/diagnostic.h"
#include "configs/rules.h"
#include "configs/run_config.h"

namespace athanor::configs {

struct LoadOptions {
  Purpose purpose = Purpose::kTraining;
  std::optional<int64_t> world_size =
      {};                         ///< number of ranks, when known: their share of the batch is checked too
  bool is_input_checked = false;  ///< the files that the configuration names must be there
};

/// The configuration of `path` with `overrides` (`section.key=value`) applied, each rule checked. Throws
/// MissingInputError when there is no such file, ConfigError with every error as `file:line:col: error: ...`.
RunConfig load_run_config(const std::string& path, const std::vector<std::string>& overrides = {},
                          const LoadOptions& options = {});

/// The same without throwing for what is wrong inside: all errors, none if the file is fine. Throws
/// MissingInputError when there is no such file.
Diagnostics check_file(const std::string& path, const std::vector<std::string>& overrides,
                       const LoadOptions& options);

/// As above for text in memory; `source_name` stands where the file name would. `config` receives all values
/// that could be read.
Diagnostics check_text(const std::string& source_name, std::string_view text,
                       const std::vector<std::string>& overrides, const LoadOptions& options,
                       RunConfig& config);

/// Ranges and rules of a configuration made in memory. Throws ConfigError with all errors.
void validate(const RunConfig& config, std::optional<int64_t> world_size = {},
              Purpose purpose = Purpose::kTraining);

/// Every option with its value, as YAML that loads to an equal configuration. With `model.from` the options
/// that the directory decides are left out.
std::string to_yaml(const RunConfig& config);

}  // namespace athanor::configs
