#include "configs/range.h"

#include <algorithm>
#include <cmath>

#include <fmt/core.h>
#include <fmt/format.h>

#include "configs/diagnostic.h"
#include "configs/interval.h"
#include "configs/utf8.h"

namespace athanor::configs {

namespace {

// Limits are doubles; whole ones are shown without a point, as integers are written.
std::string print_limit(double limit) {
  constexpr double kShownInDigits = 1e9;
  const bool is_short_whole = limit == std::floor(limit) && std::abs(limit) <= kShownInDigits;
  return is_short_whole ? fmt::format("{}", static_cast<int64_t>(limit)) : fmt::format("{}", limit);
}

bool is_in_range(const Option& option, double value) {
  if (option.above_minimum && value == option.minimum) return false;
  return value >= option.minimum && value <= option.maximum;
}

template <typename Number>
std::string number_problem(const Option& option, Number value) {
  if (is_in_range(option, static_cast<double>(value))) return "";
  const std::string unit = option.unit.empty() ? "" : " " + option.unit;
  return fmt::format("must be {}, found {}{}", describe_range(option), value, unit);
}

std::string choice_problem(const Option& option, const std::string& value) {
  const auto is_in = [&](const auto& names) {
    return std::find(names.begin(), names.end(), value) != names.end();
  };
  if (is_in(option.choices)) return "";
  const std::string available = fmt::format("{}", fmt::join(option.choices, ", "));
  if (is_in(option.unavailable)) {
    return fmt::format("{} is not available in this version; available: {}", value, available);
  }
  const std::string nearest = nearest_name(value, option.choices);
  const std::string hint = nearest.empty() ? "" : fmt::format("; did you mean {}?", in_backquotes(nearest));
  return fmt::format("expected {}{}, found {}{}", option.choices.size() > 1 ? "one of " : "", available,
                     in_backquotes(value), hint);
}

}  // namespace

std::string range_problem(const Option& option, int64_t value) {
  return number_problem(option, value);
}

std::string range_problem(const Option& option, double value) {
  if (!std::isfinite(value)) return fmt::format("expected a finite number, found {}", value);
  return number_problem(option, value);
}

std::string range_problem(const Option& option, const std::string& value) {
  if (!option.choices.empty()) return choice_problem(option, value);
  if (option.is_duration && !parse_interval(value)) {
    return fmt::format(
        "expected a time such as 60s, 5m or 2h, or a number of steps such as `100 steps`, found {}",
        in_backquotes(value));
  }
  const bool is_line = value.find_first_of("\t\r\n") == std::string::npos;
  if (!is_line || find_text_fault(value)) {
    return fmt::format("expected one line of text, found {}", in_backquotes(value));
  }
  if (option.is_required && value.empty()) return "must not be empty";
  return "";
}

std::string describe_range(const Option& option) {
  const bool has_minimum = std::isfinite(option.minimum);
  const bool has_maximum = std::isfinite(option.maximum);
  if (!has_minimum && !has_maximum) return "";
  std::string range;
  if (has_minimum) {
    range = fmt::format("{} {}", option.above_minimum ? "above" : "at least", print_limit(option.minimum));
  }
  if (has_maximum) {
    range += fmt::format("{}at most {}", has_minimum ? " and " : "", print_limit(option.maximum));
  }
  return option.unit.empty() ? range : range + " " + option.unit;
}

}  // namespace athanor::configs
