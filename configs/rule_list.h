// How rules are written down: each requires something of named options.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "configs/rules.h"

namespace athanor::configs {

/// Collects what is broken; every key is prefixed, such as by `model.`.
class Rules {
 public:
  explicit Rules(Violations& violations, std::string prefix = "")
      : violations_(violations), prefix_(std::move(prefix)) {}

  /// The message begins with the first of `options`.
  template <typename... Args>
  void require(bool is_met, std::vector<std::string> options, fmt::format_string<Args...> format,
               Args&&... args) {
    if (is_met) return;
    for (std::string& option : options) option.insert(0, prefix_);
    const std::string message = options.front() + ": " + fmt::format(format, std::forward<Args>(args)...);
    violations_.push_back({std::move(options), message});
  }

 private:
  Violations& violations_;
  std::string prefix_;
};

}  // namespace athanor::configs
