// UTF-8 over plain bytes. Everything behind `Tokenizer::encode` works on valid UTF-8; `to_valid_utf8` is the
// one gate.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace athanor::data::tokenizer {

struct CodePoint {
  uint32_t value;
  uint32_t num_bytes;
};

/// The code point at `text`, which must be valid UTF-8 and not at its end.
inline CodePoint decode_code_point(const char* text) {
  const auto byte = [text](int i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[i])); };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (lead < 0xF0) return {(lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  return {(lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4};
}

inline bool is_continuation_byte(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}

/// Appends the UTF-8 form of `code_point` (a Unicode scalar value).
void append_code_point(std::string& out, uint32_t code_point);

/// How far `text` is valid, and how the rest starts: `num_bad_bytes` is the length of the maximal ill-formed
/// part that one U+FFFD replaces (Unicode 16, section 3.9), 0 when all of `text` is valid. `is_truncated`:
/// the ill-formed part reaches the end of `text` and could be completed by more bytes.
struct Utf8Prefix {
  size_t num_valid_bytes;
  size_t num_bad_bytes;
  bool is_truncated;
};
Utf8Prefix valid_utf8_prefix(std::string_view text);

/// `text` with every maximal ill-formed part replaced by U+FFFD.
std::string to_valid_utf8(std::string_view text);

/// The first 80 characters of `text`, valid, with "…" where that is not all: for messages.
std::string excerpt(std::string_view text);

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

}  // namespace athanor::data::tokenizer
