// A configuration as a flat table, to compare two of them option by option.
#pragma once

#include <map>
#include <string>

#include "configs/run_config.h"

namespace athanor::configs {

/// Every option by its dotted name (elements of lists by number: `data.train.0.path`) with its value as YAML
/// on one line. Equal configurations give equal tables.
std::map<std::string, std::string> flat_options(const RunConfig& config);

}  // namespace athanor::configs
