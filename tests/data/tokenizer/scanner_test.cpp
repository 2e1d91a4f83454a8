#include <gtest/gtest.h>

#include "core/error.h"
#include "data/tokenizer/piece_scanner.h"
#include "data/tokenizer/regex.h"
#include "data/tokenizer/unicode_class.h"
#include "tests/data/tokenizer/random_text.h"

namespace athanor::data::tokenizer {
namespace {

using Views = std::vector<std::string_view>;

constexpr ScannerKind kKinds[] = {ScannerKind::kGpt2, ScannerKind::kGpt4, ScannerKind::kQwen2,
                                  ScannerKind::kDeepseek3};

// What Split rules with behaviour Isolated give, by the regular expression engine.
Views pieces_by_regex(const std::vector<Pattern>& patterns, std::string_view text) {
  Views pieces{text};
  for (const auto& pattern : patterns) {
    Views parts;
    for (const auto piece : pieces) {
      size_t covered = 0;
      for (const Span& match : pattern.find_all(piece)) {
        if (covered < match.begin) parts.push_back(piece.substr(covered, match.begin - covered));
        if (match.begin < match.end) parts.push_back(piece.substr(match.begin, match.end - match.begin));
        covered = match.end;
      }
      if (covered < piece.size()) parts.push_back(piece.substr(covered));
    }
    pieces = parts;
  }
  return pieces;
}

std::vector<Pattern> patterns_for(ScannerKind kind) {
  std::vector<Pattern> patterns;
  for (const auto pattern : patterns_of(kind)) patterns.push_back(Pattern::regex(pattern, "test"));
  return patterns;
}

bool matches(const Pattern& pattern, uint32_t c) {
  std::string text;
  append_code_point(text, c);
  return !pattern.find_all(text).empty();
}

// The system's PCRE2 may know fewer characters than Unicode 16; those it knows must be classed alike.
TEST(UnicodeClasses, AgreeWithTheRegularExpressionEngineOnCharactersItKnows) {
  const std::pair<const char*, ClassBits> kProperties[] = {{R"(\p{L})", kLetter},
                                                           {R"(\p{M})", kMark},
                                                           {R"(\p{N})", kNumber},
                                                           {R"(\p{P})", kPunctuation},
                                                           {R"(\p{S})", kSymbol}};
  const Pattern unassigned = Pattern::regex(R"(\p{Cn})", "test");
  for (const auto& [property, bits] : kProperties) {
    const Pattern pattern = Pattern::regex(property, "test");
    for (uint32_t c = 0; c < 0x30000; c += c < 0x3000 ? 1 : 7) {
      if (c >= 0xD800 && c < 0xE000) continue;
      const bool is_member = unicode_classes()[c] & bits;
      ASSERT_TRUE(is_member == matches(pattern, c) || matches(unassigned, c))
          << property << " " << std::hex << c;
    }
  }
}

TEST(UnicodeClasses, WhitespaceIsWhiteSpace) {
  const Pattern space = Pattern::regex(R"(\s)", "test"), not_space = Pattern::regex(R"(\S)", "test");
  for (uint32_t c = 0; c < 0x3100; ++c) {
    ASSERT_EQ(matches(space, c), (unicode_classes()[c] & kWhitespace) != 0) << std::hex << c;
    ASSERT_NE(matches(space, c), matches(not_space, c)) << std::hex << c;
  }
}

TEST(PieceScanner, EqualsItsRegularExpressionsOnRandomText) {
  std::mt19937_64 random(20240131);
  std::vector<uint32_t> alphabet;
  const Pattern unassigned = Pattern::regex(R"(\p{Cn})", "test");
  for (const uint32_t c : mixed_alphabet())
    if (unicode_classes()[c] == 0 || !matches(unassigned, c)) alphabet.push_back(c);
  for (const auto kind : kKinds) {
    const auto patterns = patterns_for(kind);
    for (int i = 0; i < 4000; ++i) {
      // Few different characters make long runs of a kind.
      std::vector<uint32_t> few;
      for (int k = 0; k < 1 + i % 9; ++k) few.push_back(alphabet[random() % alphabet.size()]);
      const std::string text = random_text(random, i % 3 ? few : alphabet, 1 + random() % 40);
      Views pieces;
      scan_pieces(kind, text, pieces);
      ASSERT_EQ(pieces, pieces_by_regex(patterns, text)) << static_cast<int>(kind) << ": " << text;
    }
  }
}

TEST(PieceScanner, RecognisesExactlyItsOwnRules) {
  for (const auto kind : kKinds) EXPECT_EQ(scanner_for(patterns_of(kind)), kind);
  EXPECT_FALSE(scanner_for({R"(\p{N}{1,3})"}));
  EXPECT_FALSE(scanner_for({}));
}

TEST(Regex, TranslatesRubySyntax) {
  const auto found = [](const char* pattern, std::string_view text) {
    std::vector<std::string> matches_found;
    for (const Span& m : Pattern::regex(pattern, "test").find_all(text))
      matches_found.emplace_back(text.substr(m.begin, m.end - m.begin));
    return matches_found;
  };
  using Found = std::vector<std::string>;
  EXPECT_EQ(found(R"(\p{N}{1,3}+)", "a1234567b"), Found{"1234567"});
  EXPECT_EQ(found(R"(\u4f60+)", "x你你"), Found{"你你"});
  EXPECT_EQ(found("^a", "x\nax"), Found{"a"});
  EXPECT_EQ(found(R"([\s]+)", "a \u3000b\u180e"), Found{" \u3000"});
  EXPECT_EQ(found(R"([]x]+)", "a]x"), Found{"]x"});
  EXPECT_EQ(found(R"(\w+)", "e\u0301 -"), Found{"e\u0301"});
  EXPECT_EQ(found("x*", "abxxc"), (Found{"", "", "xx", ""}));
  EXPECT_EQ(found("(?i:k)", "K\u212A").size(), 2u);
}

TEST(Regex, RefusesWhatItWouldReadOtherwise) {
  for (const char* pattern :
       {R"(\h+)", "[a&&b]", "[a[b]]", "(?m:a.b)", "(", "[a", "a{2,5}+", "\\", R"([\W])", "[[:alpha"})
    EXPECT_THROW(Pattern::regex(pattern, "test"), core::DataError) << pattern;
}

}  // namespace
}  // namespace athanor::data::tokenizer
