#include "data/text/character.h"

#include <memory>
#include <string_view>

#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/uscript.h>

#include "core/error.h"

namespace athanor::text {
namespace {

// FineWeb counts . ' " ! ? at the end of a line; FineWeb-2 adds the terminal marks of other scripts.
constexpr std::u32string_view kSentenceEnds = U".!?\"'。！？…．｡”’」』）؟۔।";

uint16_t script_bit(char32_t c) {
  UErrorCode status = U_ZERO_ERROR;
  switch (uscript_getScript(static_cast<UChar32>(c), &status)) {
    case USCRIPT_HAN:
      return kHan;
    case USCRIPT_HIRAGANA:
    case USCRIPT_KATAKANA:
      return kKana;
    case USCRIPT_HANGUL:
      return kHangul;
    case USCRIPT_LATIN:
      return kLatin;
    case USCRIPT_CYRILLIC:
      return kCyrillic;
    case USCRIPT_ARABIC:
      return kArabic;
    default:
      return kOtherScript;
  }
}

uint16_t general_class(char32_t code_point) {
  const auto c = static_cast<UChar32>(code_point);
  if (u_isUWhiteSpace(c)) return kSpace;
  const uint32_t mask = U_GET_GC_MASK(c);
  if (mask & (U_GC_L_MASK | U_GC_M_MASK | U_GC_NL_MASK))
    return static_cast<uint16_t>(kLetter | script_bit(code_point));
  if (mask & U_GC_ND_MASK) return kDigit;
  if (mask & (U_GC_P_MASK | U_GC_S_MASK | U_GC_NO_MASK)) return kPunctuation;
  return kIgnorable;
}

uint16_t classify_slowly(char32_t c) {
  uint16_t result = general_class(c);
  if (kSentenceEnds.find(c) != std::u32string_view::npos) result |= kSentenceEnd;
  return result;
}

char32_t fold_slowly(char32_t code_point) {
  static const icu::Normalizer2* nfkd = [] {
    UErrorCode status = U_ZERO_ERROR;
    const auto* instance = icu::Normalizer2::getNFKDInstance(status);
    ATHANOR_CHECK(U_SUCCESS(status), "ICU has no NFKD data: {}", u_errorName(status));
    return instance;
  }();
  const auto c = static_cast<UChar32>(code_point);
  icu::UnicodeString decomposed;
  const bool has_one = nfkd->getDecomposition(c, decomposed) && !u_isUWhiteSpace(decomposed.char32At(0));
  const bool is_hangul =
      script_bit(code_point) == kHangul;  // its syllables decompose into letters: keep them whole
  return static_cast<char32_t>(
      u_foldCase(has_one && !is_hangul ? decomposed.char32At(0) : c, U_FOLD_CASE_DEFAULT));
}

std::unique_ptr<detail::CharacterTables> make_tables() {
  auto tables = std::make_unique<detail::CharacterTables>();
  for (char32_t c = 0; c < 0x10000; ++c) {
    tables->classes[c] = classify_slowly(c);
    const char32_t folded = fold_slowly(c);
    tables->folded[c] = static_cast<char16_t>(folded < 0x10000 ? folded : c);
  }
  return tables;
}

}  // namespace

namespace detail {

const CharacterTables& character_tables() {
  static const std::unique_ptr<CharacterTables> tables = make_tables();
  return *tables;
}

uint16_t classify_supplementary(char32_t c) {
  return classify_slowly(c);
}
char32_t fold_supplementary(char32_t c) {
  return fold_slowly(c);
}

}  // namespace detail
}  // namespace athanor::text
