// The limits that an Option states, applied to a value. Each function returns what is wrong, or nothing
// (empty).
#pragma once

#include <cstdint>
#include <string>

#include "configs/option.h"

namespace athanor::configs {

std::string range_problem(const Option& option, int64_t value);
std::string range_problem(const Option& option, double value);
std::string range_problem(const Option& option, const std::string& value);
inline std::string range_problem(const Option&, bool) {
  return "";
}

/// `at least 1 and at most 4096 layers`; empty when there are no limits.
std::string describe_range(const Option& option);

}  // namespace athanor::configs
