#include "data/tokenizer/byte_alphabet.h"

#include <array>

#include "data/tokenizer/utf8.h"

namespace athanor::data::tokenizer {
namespace {

constexpr bool stands_for_itself(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

constexpr uint32_t kFirstStandIn = 0x100, kNumStandIns = 68;

struct Alphabet {
  std::array<std::string, 256> symbol_of_byte;
  std::array<int16_t, kFirstStandIn + kNumStandIns> byte_of_character;  ///< -1: not in the alphabet
};

Alphabet make_alphabet() {
  Alphabet alphabet;
  alphabet.byte_of_character.fill(-1);
  uint32_t next_stand_in = kFirstStandIn;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const uint32_t character = stands_for_itself(byte) ? byte : next_stand_in++;
    append_code_point(alphabet.symbol_of_byte[byte], character);
    alphabet.byte_of_character[character] = static_cast<int16_t>(byte);
  }
  return alphabet;
}

const Alphabet& alphabet() {
  static const Alphabet instance = make_alphabet();
  return instance;
}

}  // namespace

std::string_view byte_symbol(uint8_t byte) {
  return alphabet().symbol_of_byte[byte];
}

std::string to_byte_symbols(std::string_view bytes) {
  std::string symbols;
  symbols.reserve(2 * bytes.size());
  for (const char byte : bytes) symbols += byte_symbol(static_cast<uint8_t>(byte));
  return symbols;
}

std::optional<std::string> from_byte_symbols(std::string_view symbols) {
  const auto& byte_of = alphabet().byte_of_character;
  std::string bytes;
  for (size_t at = 0; at < symbols.size();) {
    const CodePoint c = decode_code_point(symbols.data() + at);
    if (c.value >= byte_of.size() || byte_of[c.value] < 0) return std::nullopt;
    bytes += static_cast<char>(byte_of[c.value]);
    at += c.num_bytes;
  }
  return bytes;
}

}  // namespace athanor::data::tokenizer
