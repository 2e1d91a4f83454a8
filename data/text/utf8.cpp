#include "data/text/utf8.h"

#include <algorithm>

#include <simdjson.h>

namespace athanor::text {
namespace {

struct SecondByteRange {
  uint8_t low, high;
};

// Table 3-7 of the Unicode standard: only the second byte's range depends on the lead.
SecondByteRange second_byte_range(uint8_t lead) {
  switch (lead) {
    case 0xE0:
      return {0xA0, 0xBF};
    case 0xED:
      return {0x80, 0x9F};
    case 0xF0:
      return {0x90, 0xBF};
    case 0xF4:
      return {0x80, 0x8F};
    default:
      return {0x80, 0xBF};
  }
}

size_t expected_length(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  return lead >= 0xF0 && lead <= 0xF4 ? 4 : 0;
}

// How many bytes from `at` begin a well-formed sequence: all of it, or the part before the first wrong byte.
size_t well_formed_part(std::string_view bytes, size_t at, size_t length) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  for (size_t i = 1; i < length; ++i) {
    if (at + i >= bytes.size()) return i;
    const auto range = i == 1 ? second_byte_range(byte(at)) : SecondByteRange{0x80, 0xBF};
    if (byte(at + i) < range.low || byte(at + i) > range.high) return i;
  }
  return length;
}

}  // namespace

bool is_valid_utf8(std::string_view bytes) {
  return simdjson::validate_utf8(bytes.data(), bytes.size());
}

size_t sequence_length(std::string_view bytes, size_t at) {
  const size_t length = expected_length(static_cast<uint8_t>(bytes[at]));
  return length != 0 && well_formed_part(bytes, at, length) == length ? length : 0;
}

size_t repair_utf8(std::string& bytes) {
  if (is_valid_utf8(bytes)) return 0;
  std::string repaired;
  repaired.reserve(bytes.size());
  size_t num_replaced = 0;
  for (size_t at = 0; at < bytes.size();) {
    const size_t length = expected_length(static_cast<uint8_t>(bytes[at]));
    const size_t part = length == 0 ? 1 : well_formed_part(bytes, at, length);
    if (length != 0 && part == length) {
      repaired.append(bytes, at, part);
    } else {
      append_utf8(repaired, kReplacementCharacter);
      ++num_replaced;
    }
    at += part;
  }
  bytes.swap(repaired);
  return num_replaced;
}

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6), put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18), put(0x80 | (c >> 12 & 0x3F)), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  }
}

size_t count_code_points(std::string_view bytes) {
  return static_cast<size_t>(
      std::count_if(bytes.begin(), bytes.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string_view prefix(std::string_view bytes, size_t max_code_points) {
  size_t at = 0;
  for (size_t i = 0; i < max_code_points && at < bytes.size(); ++i) decode(bytes.data(), at);
  return bytes.substr(0, at);
}

}  // namespace athanor::text
