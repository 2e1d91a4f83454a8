// A text cut into units: words, numbers, single Chinese/Japanese/Korean characters, and symbols. Every rule
// and every shingle counts these, so a text is decoded and classified once, and nothing is copied: a unit is
// a hash and a place.
//
// A word is a run of letters, marks and digits of the alphabetic scripts, with apostrophes and hyphens
// inside. A symbol is one punctuation mark; a run of the same mark is one symbol. Chinese is not segmented:
// each character is a unit, and where a published limit speaks of Chinese words, one word is taken as
// kHanPerWord characters (the mean length, in running text, of the words that jieba cuts), so that an n-gram
// of words becomes a window of 1.6 n characters. Windows, unlike words of a dictionary, cannot hide a
// repetition behind another segmentation.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace athanor::clean {

inline constexpr double kHanPerWord = 1.6;

enum class UnitKind : uint8_t { kWord, kNumber, kIdeograph, kSymbol };

struct Unit {
  uint64_t hash;        ///< of the folded characters: case, accents and width do not count
  uint32_t begin_char;  ///< position in the text, in code points
  uint32_t end_char;
  uint32_t begin_byte;
  UnitKind kind;
};

/// Letters by script, counted over the whole text.
struct ScriptCounts {
  uint64_t han = 0, kana = 0, hangul = 0, latin = 0, cyrillic = 0, arabic = 0, other = 0;
  uint64_t letters() const { return han + kana + hangul + latin + cyrillic + arabic + other; }
};

struct Units {
  std::vector<Unit> all;
  ScriptCounts scripts;
  uint64_t num_chars = 0;        ///< code points
  uint64_t num_space_chars = 0;  ///< of these, white space
  std::array<uint64_t, 4> num_of_kind{};
  std::array<uint64_t, 4> chars_of_kind{};

  uint64_t count(UnitKind kind) const { return num_of_kind[static_cast<size_t>(kind)]; }
  uint64_t chars(UnitKind kind) const { return chars_of_kind[static_cast<size_t>(kind)]; }
  /// Words and numbers, with kHanPerWord ideographs as one word.
  double num_words() const;
  /// Words that hold a letter, counted alike.
  double num_alpha_words() const;
};

/// Hash of one word as `cut_into_units` gives it, for comparing with lists of words.
uint64_t hash_word(std::string_view word);

/// Fills `units` (its memory is reused). `text` is well-formed UTF-8 of less than 4 GiB.
void cut_into_units(std::string_view text, Units& units);

}  // namespace athanor::clean
