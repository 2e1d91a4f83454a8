// Helpers of the configuration tests.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "configs/load.h"

namespace athanor::configs {

/// The least that passes every rule.
inline constexpr std::string_view kSmallestConfig =
    "data:\n"
    "  train: [{path: a.h5}]\n"
    "training:\n"
    "  max_steps: 10\n";

inline Diagnostics check_yaml(std::string_view yaml, const std::vector<std::string>& overrides = {},
                              const LoadOptions& options = {}) {
  RunConfig config;
  return check_text("run.yaml", yaml, overrides, options, config);
}

inline RunConfig read_valid(std::string_view yaml, const std::vector<std::string>& overrides = {}) {
  RunConfig config;
  throw_if_any("run.yaml", check_text("run.yaml", yaml, overrides, {}, config));
  return config;
}

}  // namespace athanor::configs
