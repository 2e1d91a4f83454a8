#include "data/tokenizer/utf8.h"

#include <cstring>

namespace athanor::data::tokenizer {
namespace {

size_t skip_ascii(std::string_view text, size_t at) {
  uint64_t word;
  while (at + sizeof word <= text.size()) {
    std::memcpy(&word, text.data() + at, sizeof word);
    if (word & 0x8080808080808080ULL) break;
    at += sizeof word;
  }
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
  return at;
}

// The well-formed byte sequences of table 3-7 of the standard: length by lead byte, and the range of the
// second byte.
struct LeadByte {
  uint32_t num_bytes;
  unsigned char second_min, second_max;
};

LeadByte lead_byte(unsigned char lead) {
  if (lead >= 0xC2 && lead <= 0xDF) return {2, 0x80, 0xBF};
  if (lead == 0xE0) return {3, 0xA0, 0xBF};
  if (lead == 0xED) return {3, 0x80, 0x9F};
  if (lead >= 0xE1 && lead <= 0xEF) return {3, 0x80, 0xBF};
  if (lead == 0xF0) return {4, 0x90, 0xBF};
  if (lead == 0xF4) return {4, 0x80, 0x8F};
  if (lead >= 0xF1 && lead <= 0xF3) return {4, 0x80, 0xBF};
  return {0, 0, 0};
}

}  // namespace

void append_code_point(std::string& out, uint32_t c) {
  const auto tail = [c](int shift) { return static_cast<char>(0x80 | ((c >> shift) & 0x3F)); };
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += {static_cast<char>(0xC0 | c >> 6), tail(0)};
  } else if (c < 0x10000) {
    out += {static_cast<char>(0xE0 | c >> 12), tail(6), tail(0)};
  } else {
    out += {static_cast<char>(0xF0 | c >> 18), tail(12), tail(6), tail(0)};
  }
}

Utf8Prefix valid_utf8_prefix(std::string_view text) {
  size_t at = 0;
  while ((at = skip_ascii(text, at)) < text.size()) {
    const LeadByte lead = lead_byte(static_cast<unsigned char>(text[at]));
    if (lead.num_bytes == 0) return {at, 1, false};
    for (size_t i = 1; i < lead.num_bytes; ++i) {
      if (at + i == text.size()) return {at, i, true};
      const auto byte = static_cast<unsigned char>(text[at + i]);
      const bool is_valid =
          i == 1 ? byte >= lead.second_min && byte <= lead.second_max : (byte & 0xC0) == 0x80;
      if (!is_valid) return {at, i, false};
    }
    at += lead.num_bytes;
  }
  return {text.size(), 0, false};
}

std::string to_valid_utf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const Utf8Prefix prefix = valid_utf8_prefix(text);
    valid += text.substr(0, prefix.num_valid_bytes);
    if (prefix.num_bad_bytes > 0) valid += kReplacementCharacter;
    text.remove_prefix(prefix.num_valid_bytes + prefix.num_bad_bytes);
  }
  return valid;
}

std::string excerpt(std::string_view text) {
  constexpr size_t kMaxCharacters = 80, kMaxBytesPerCharacter = 4;
  std::string shown = to_valid_utf8(text.substr(0, (kMaxCharacters + 1) * kMaxBytesPerCharacter));
  size_t end = 0;
  for (size_t i = 0; i < kMaxCharacters && end < shown.size(); ++i)
    end += decode_code_point(shown.data() + end).num_bytes;
  return end == shown.size() ? shown : shown.substr(0, end) + "…";
}

}  // namespace athanor::data::tokenizer
