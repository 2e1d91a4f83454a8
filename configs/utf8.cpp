#include "configs/utf8.h"

#include <cstdint>

#include <fmt/core.h>

namespace athanor::configs {

namespace {

struct Lead {
  int num_continuations = -1;  // -1: not a first byte
  uint32_t bits = 0;
  uint32_t smallest = 0;  // code points below would have a shorter form
};

Lead lead_of(unsigned char byte) {
  if (byte < 0x80) return {0, byte, 0};
  if (byte >= 0xc2 && byte < 0xe0) return {1, byte & 0x1fu, 0x80};
  if (byte >= 0xe0 && byte < 0xf0) return {2, byte & 0x0fu, 0x800};
  if (byte >= 0xf0 && byte < 0xf5) return {3, byte & 0x07u, 0x10000};
  return {};
}

bool is_text_character(uint32_t code_point) {
  if (code_point < 0x20) return code_point == '\t' || code_point == '\n' || code_point == '\r';
  const bool is_control = code_point >= 0x7f && code_point < 0xa0 && code_point != 0x85;
  const bool is_surrogate = code_point >= 0xd800 && code_point < 0xe000;
  return !is_control && !is_surrogate && code_point <= 0x10ffff;
}

// Bytes of the character at `begin`; 0 when it is none.
size_t character_bytes(std::string_view text, size_t begin) {
  const Lead lead = lead_of(static_cast<unsigned char>(text[begin]));
  if (lead.num_continuations < 0) return 0;
  const size_t num_bytes = 1 + static_cast<size_t>(lead.num_continuations);
  if (text.size() - begin < num_bytes) return 0;
  uint32_t code_point = lead.bits;
  for (const unsigned char byte : text.substr(begin + 1, num_bytes - 1)) {
    if ((byte & 0xc0) != 0x80) return 0;
    code_point = code_point << 6 | (byte & 0x3fu);
  }
  return code_point >= lead.smallest && is_text_character(code_point) ? num_bytes : 0;
}

}  // namespace

std::optional<TextFault> find_text_fault(std::string_view text) {
  int line = 1;
  size_t line_begin = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t num_bytes = character_bytes(text, i);
    if (num_bytes == 0) {
      const auto byte = static_cast<unsigned char>(text[i]);
      return TextFault{line, static_cast<int>(i - line_begin) + 1, fmt::format("byte 0x{:02x}", byte)};
    }
    if (text[i] == '\n') {
      ++line;
      line_begin = i + 1;
    }
    i += num_bytes;
  }
  return std::nullopt;
}

}  // namespace athanor::configs
