// Which language a text is in, from its scripts and its commonest words: fast, and right where the rules
// differ (Chinese, English, code, the rest). It does not tell French from Spanish.
#pragma once

#include <string_view>

#include "data/clean/lines.h"
#include "data/clean/units.h"

namespace athanor::clean {

enum class Language : uint8_t {
  kChinese,
  kEnglish,
  kJapanese,
  kKorean,
  kCyrillic,
  kArabic,
  kLatin,
  kCode,
  kOther
};
inline constexpr int kNumLanguages = 9;

/// "zh", "en", "ja", "ko", "cyrillic", "arabic", "latin", "code", "other".
std::string_view language_name(Language language);

/// The main script must hold `min_share` of all letters, an ideograph counting as three (its share of bytes);
/// else kOther. Chinese with a tenth of kana is Japanese. Latin script is English when at least 4 % of the
/// words are English function words, and more than those of German, French, Spanish, Italian, Portuguese and
/// Dutch.
Language detect_language(const Units& units, double min_share);

/// True when most lines (and at least three) look like statements of a programming language. Markdown
/// with fenced code is prose.
bool looks_like_code(std::string_view text, const Lines& lines);

/// True when numbers and operators fill a fifth of the units, and there are equations or many numbers: worked
/// arithmetic.
bool looks_like_math(std::string_view text, const Units& units);

/// True when more characters exist only in traditional than only in simplified writing (by a list of common
/// ones).
bool is_traditional_chinese(std::string_view text);

}  // namespace athanor::clean
