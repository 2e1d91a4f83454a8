// The character classes that splitting rules ask for, from Unicode 16.0 (the version in Hugging Face
// tokenizers 0.23). The table is our own, so that token ids do not depend on the Unicode version of a system
// library.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "data/tokenizer/utf8.h"

namespace athanor::data::tokenizer {

/// A code point's classes, as bits.
using ClassBits = uint8_t;
inline constexpr ClassBits kLetter = 1;       ///< \p{L}
inline constexpr ClassBits kMark = 2;         ///< \p{M}
inline constexpr ClassBits kNumber = 4;       ///< \p{N}
inline constexpr ClassBits kPunctuation = 8;  ///< \p{P}
inline constexpr ClassBits kSymbol = 16;      ///< \p{S}
inline constexpr ClassBits kWhitespace = 32;  ///< White_Space, what \s means
inline constexpr ClassBits kNewline = 64;     ///< carriage return and line feed
inline constexpr ClassBits kDeepseekCjk =
    128;  ///< [U+4E00-U+9FA5 U+3040-U+30FF], the second rule of DeepSeek-V3

/// Two-level look-up table over all code points; immutable, about 80 KiB.
class UnicodeClassTable {
 public:
  UnicodeClassTable();
  ClassBits operator[](uint32_t code_point) const {
    return blocks_[block_of_[code_point >> kBlockBits]][code_point & kBlockMask];
  }

 private:
  static constexpr int kBlockBits = 7;
  static constexpr uint32_t kBlockMask = (1u << kBlockBits) - 1;
  using Block = std::array<ClassBits, 1u << kBlockBits>;
  std::vector<Block> blocks_;
  std::vector<uint16_t> block_of_;
};

/// The process's table, built at the first call.
const UnicodeClassTable& unicode_classes();

}  // namespace athanor::data::tokenizer
