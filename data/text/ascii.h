// Single bytes (or code points) of the ASCII range. A byte above 0x7F is none of them, as `char` of either
// sign.
#pragma once

#include <algorithm>
#include <string_view>

namespace athanor::text {

constexpr bool is_ascii(char c) {
  return static_cast<unsigned char>(c) < 0x80;
}
inline bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return is_ascii(c); });
}
constexpr bool is_ascii_digit(char32_t c) {
  return c >= '0' && c <= '9';
}
constexpr bool is_ascii_letter(char32_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
constexpr bool is_ascii_letter_or_digit(char32_t c) {
  return is_ascii_letter(c) || is_ascii_digit(c);
}
constexpr char to_ascii_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

}  // namespace athanor::text
