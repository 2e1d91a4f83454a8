// Plain YAML scalars as typed values, without guessing: what could be meant in two ways is refused with a
// hint.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace athanor::configs {

/// A value, or why there is none ("expected an integer, found `abc`").
template <typename T>
struct Read {
  std::optional<T> value;
  std::string problem;
};

/// true and false (also True, TRUE); YAML 1.1's yes, no, on, off are refused.
Read<bool> read_bool(std::string_view text);

/// Decimal digits with an optional sign, `_` allowed between digits; within int64. `1e3`, `1.0`, `0x10`,
/// `010` are refused.
Read<int64_t> read_integer(std::string_view text);

/// A finite decimal number: 3, 0.1, .5, 3e-4; hexadecimal, nan and infinity are refused.
Read<double> read_number(std::string_view text);

/// The shortest text that reads back to the same bits and that every YAML reader takes for a floating-point
/// number.
std::string print_number(double value);

}  // namespace athanor::configs
