#include "configs/scalar.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include <fmt/core.h>

#include "configs/diagnostic.h"

namespace athanor::configs {

namespace {

template <typename T>
Read<T> refusal(std::string_view expected, std::string_view text, std::string_view hint = "") {
  return {std::nullopt, fmt::format("expected {}, found {}{}{}", expected, in_backquotes(text),
                                    hint.empty() ? "" : "; ", hint)};
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

std::string_view without_sign(std::string_view text) {
  const bool has_sign = !text.empty() && (text[0] == '-' || text[0] == '+');
  return text.substr(has_sign ? 1 : 0);
}

// Digits with `_` between two of them.
bool is_digits(std::string_view text) {
  if (text.empty() || text.front() == '_' || text.back() == '_') return false;
  if (text.find("__") != std::string_view::npos) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return is_digit(c) || c == '_'; });
}

bool is_prefixed(std::string_view magnitude) {
  return magnitude.size() > 1 && magnitude[0] == '0' &&
         std::isalpha(static_cast<unsigned char>(magnitude[1]));
}

// from_chars knows no leading `+`.
std::string plain_digits(std::string_view text) {
  std::string digits(text[0] == '+' ? text.substr(1) : text);
  digits.erase(std::remove(digits.begin(), digits.end(), '_'), digits.end());
  return digits;
}

// [digits][.digits][e[sign]digits] with a digit before the exponent.
bool is_decimal(std::string_view text) {
  const size_t exponent = text.find_first_of("eE");
  const std::string_view mantissa = text.substr(0, exponent);
  const size_t point = mantissa.find('.');
  const std::string_view whole = mantissa.substr(0, point);
  const std::string_view fraction = point == std::string_view::npos ? "" : mantissa.substr(point + 1);
  const bool has_exponent = exponent != std::string_view::npos;
  if (whole.empty() && fraction.empty()) return false;
  if (!whole.empty() && !is_digits(whole)) return false;
  if (!fraction.empty() && !is_digits(fraction)) return false;
  return !has_exponent || is_digits(without_sign(text.substr(exponent + 1)));
}

std::string integer_hint(std::string_view text) {
  const Read<double> number = read_number(text);
  if (!number.value || *number.value != std::floor(*number.value)) return "";
  constexpr double kExactlyRepresentable = 9007199254740992.0;
  if (std::abs(*number.value) > kExactlyRepresentable) return "";
  return fmt::format("write {}", static_cast<int64_t>(*number.value));
}

}  // namespace

Read<bool> read_bool(std::string_view text) {
  if (is_one_of(text, {"true", "True", "TRUE"})) return {true, ""};
  if (is_one_of(text, {"false", "False", "FALSE"})) return {false, ""};
  constexpr std::string_view kExpected = "true or false";
  if (is_one_of(text, {"yes", "Yes", "YES", "on", "On", "ON", "y", "Y", "1"})) {
    return refusal<bool>(kExpected, text, "write true");
  }
  if (is_one_of(text, {"no", "No", "NO", "off", "Off", "OFF", "n", "N", "0"})) {
    return refusal<bool>(kExpected, text, "write false");
  }
  return refusal<bool>(kExpected, text);
}

Read<int64_t> read_integer(std::string_view text) {
  constexpr std::string_view kExpected = "an integer";
  const std::string_view magnitude = without_sign(text);
  if (is_prefixed(magnitude)) return refusal<int64_t>(kExpected, text, "write it in decimal");
  if (!is_digits(magnitude)) return refusal<int64_t>(kExpected, text, integer_hint(text));
  if (magnitude.size() > 1 && magnitude[0] == '0') {
    return refusal<int64_t>(kExpected, text, "leading zeros are octal to some readers; remove them");
  }
  const std::string digits = plain_digits(text);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error == std::errc()) return {value, ""};
  return refusal<int64_t>("an integer between -9223372036854775808 and 9223372036854775807", text);
}

Read<double> read_number(std::string_view text) {
  constexpr std::string_view kExpected = "a number";
  const std::string_view magnitude = without_sign(text);
  if (is_prefixed(magnitude)) return refusal<double>(kExpected, text, "write it in decimal");
  if (!is_decimal(magnitude)) return refusal<double>("a finite number", text);
  const std::string digits = plain_digits(text);
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error == std::errc() && std::isfinite(value)) return {value, ""};
  return refusal<double>("a number that a double can hold", text);
}

std::string print_number(double value) {
  std::string text = fmt::format("{}", value);
  const size_t exponent = text.find('e');
  if (text.find('.') == std::string::npos) text.insert(std::min(exponent, text.size()), ".0");
  return text;
}

}  // namespace athanor::configs
