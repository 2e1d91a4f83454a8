#include "configs/interval.h"

#include <array>
#include <utility>

#include "configs/scalar.h"

namespace athanor::configs {

namespace {

constexpr double kLongestSeconds = 1e9;
constexpr std::array<std::pair<char, double>, 4> kSecondsOfUnit = {
    {{'s', 1.0}, {'m', 60.0}, {'h', 3600.0}, {'d', 86400.0}}};

std::optional<Interval> time_interval(std::string_view amount, double seconds_of_unit) {
  const std::optional<double> number = read_number(amount).value;
  if (!number || *number <= 0 || *number * seconds_of_unit > kLongestSeconds) return std::nullopt;
  return Interval{.seconds = *number * seconds_of_unit};
}

std::string_view without_steps_word(std::string_view text) {
  for (const std::string_view word : {" steps", " step"}) {
    if (text.size() > word.size() && text.substr(text.size() - word.size()) == word) {
      return text.substr(0, text.size() - word.size());
    }
  }
  return text;
}

}  // namespace

std::optional<Interval> parse_interval(std::string_view text) {
  if (text.empty()) return std::nullopt;
  for (const auto& [unit, seconds] : kSecondsOfUnit) {
    if (text.back() == unit && without_steps_word(text) == text) {
      return time_interval(text.substr(0, text.size() - 1), seconds);
    }
  }
  const std::optional<int64_t> steps = read_integer(without_steps_word(text)).value;
  if (!steps || *steps < 0) return std::nullopt;
  return Interval{.steps = *steps};
}

}  // namespace athanor::configs
