// UTF-8 at the level of bytes: checking, repairing, decoding and encoding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace athanor::text {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

/// True when all of `bytes` is well-formed UTF-8 (no surrogates, no overlong forms). Vectorised.
bool is_valid_utf8(std::string_view bytes);

/// Replaces every ill-formed sequence (its longest well-formed beginning, as Unicode recommends) by U+FFFD;
/// returns how many there were.
size_t repair_utf8(std::string& bytes);

/// Length of the well-formed sequence that starts at `bytes[at]`, or 0.
size_t sequence_length(std::string_view bytes, size_t at);

void append_utf8(std::string& out, char32_t code_point);

/// The code point at `at`, which is moved behind it. Requires well-formed UTF-8 and at < size.
inline char32_t decode(const char* bytes, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const uint32_t lead = byte(at);
  if (lead < 0x80) return ++at, lead;
  if (lead < 0xE0) return at += 2, (lead & 0x1F) << 6 | (byte(at - 1) & 0x3F);
  if (lead < 0xF0) return at += 3, (lead & 0x0F) << 12 | (byte(at - 2) & 0x3F) << 6 | (byte(at - 1) & 0x3F);
  return at += 4, (lead & 0x07) << 18 | (byte(at - 3) & 0x3F) << 12 | (byte(at - 2) & 0x3F) << 6 |
                      (byte(at - 1) & 0x3F);
}

/// Number of code points in well-formed UTF-8.
size_t count_code_points(std::string_view bytes);

/// The first `max_code_points` of well-formed UTF-8.
std::string_view prefix(std::string_view bytes, size_t max_code_points);

}  // namespace athanor::text
