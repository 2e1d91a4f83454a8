// The byte-level alphabet of GPT-2: every byte is written as one printable character, so that any bytes can
// be the text of a token. Printable Latin-1 characters stand for themselves, the other 68 bytes for U+0100
// onwards.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace athanor::data::tokenizer {

/// The character that stands for `byte`, in UTF-8.
std::string_view byte_symbol(uint8_t byte);

/// `bytes` written in the alphabet.
std::string to_byte_symbols(std::string_view bytes);

/// The bytes that `symbols` (valid UTF-8) stands for; nothing when a character is not in the alphabet.
std::optional<std::string> from_byte_symbols(std::string_view symbols);

}  // namespace athanor::data::tokenizer
