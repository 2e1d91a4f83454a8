// How often something happens: by time or by steps.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace athanor::configs {

/// Either `seconds` or `steps` is above 0; both 0: never.
struct Interval {
  double seconds = 0.0;
  int64_t steps = 0;

  bool is_never() const { return seconds == 0.0 && steps == 0; }
  bool operator==(const Interval&) const = default;
};

/// Reads `60s`, `1.5m`, `2h`, `1d` (time), `100` or `100 steps` (steps), `0` (never); nothing for any other
/// text.
std::optional<Interval> parse_interval(std::string_view text);

}  // namespace athanor::configs
