// What a character is: one table look-up for the rules that classify text, another for folding it before
// comparison.
#pragma once

#include <cstdint>

namespace athanor::text {

/// Bits of a character's class.
enum CharacterClass : uint16_t {
  kLetter = 1 << 0,       ///< letter or mark of any script
  kDigit = 1 << 1,        ///< decimal digit
  kSpace = 1 << 2,        ///< white space, line ends included
  kPunctuation = 1 << 3,  ///< punctuation or symbol
  kHan = 1 << 4,          ///< Chinese character (also a letter)
  kKana = 1 << 5,
  kHangul = 1 << 6,
  kLatin = 1 << 7,
  kCyrillic = 1 << 8,
  kArabic = 1 << 9,
  kOtherScript = 1 << 10,  ///< a letter of none of the scripts above
  kSentenceEnd = 1 << 11,  ///< ends a sentence or a line of prose: . ! ? 。 ！ ？ … ” and the like
  kIgnorable = 1 << 12,    ///< control and format characters, unassigned code points
};

namespace detail {
struct CharacterTables {
  uint16_t classes[0x10000];
  char16_t folded[0x10000];
};
const CharacterTables& character_tables();
uint16_t classify_supplementary(char32_t c);
char32_t fold_supplementary(char32_t c);
}  // namespace detail

/// A handle on the tables, cheap to copy; make one per loop so that the look-up is a plain load.
class Characters {
 public:
  Characters() : tables_(&detail::character_tables()) {}
  uint16_t classify(char32_t c) const {
    return c < 0x10000 ? tables_->classes[c] : detail::classify_supplementary(c);
  }
  /// Lower case, without accents, half width: what near-duplicate detection compares.
  char32_t fold(char32_t c) const { return c < 0x10000 ? tables_->folded[c] : detail::fold_supplementary(c); }

 private:
  const detail::CharacterTables* tables_;
};

}  // namespace athanor::text
