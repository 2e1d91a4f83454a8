// A configuration as a flat table, to compare two of them option by option.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "configs/run_config.h"

namespace athanor::configs {

/// Every option by its dotted name (elements of lists by number: `data.train.0.path`) with its value as YAML
/// on one line. Equal configurations give equal tables.
std::map<std::string, std::string> flat_options(const RunConfig& config);

struct OptionDifference {
  std::string name;
  std::string before, after;  ///< "not set" where one has no such option
};

/// The options of two such tables that differ, by name.
std::vector<OptionDifference> find_differences(const std::map<std::string, std::string>& before,
                                               const std::map<std::string, std::string>& after);

}  // namespace athanor::configs
