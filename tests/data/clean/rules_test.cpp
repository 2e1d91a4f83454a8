// What drops a document: every rule at its limit and beyond.
#include <functional>
#include <map>
#include <set>

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "core/rng.h"
#include "data/clean/code_rules.h"
#include "data/clean/document_cleaner.h"
#include "data/clean/language.h"
#include "data/clean/quality_rules.h"
#include "data/synth/generator.h"
#include "data/text/utf8.h"

namespace athanor::clean {
namespace {

using configs::CleanRules;

// All limits off.
CleanRules nothing() {
  CleanRules r;
  r.min_words.reset(), r.max_words.reset(), r.min_mean_word_length.reset(), r.max_mean_word_length.reset();
  r.max_symbol_word_ratio.reset(), r.max_bullet_lines.reset(), r.max_ellipsis_lines.reset(),
      r.min_alpha_words.reset();
  r.min_stop_words.reset(), r.max_duplicate_lines.reset(), r.max_duplicate_paragraphs.reset();
  r.max_duplicate_line_chars.reset(), r.max_duplicate_paragraph_chars.reset(), r.max_top_ngrams.clear();
  r.max_duplicate_ngrams.clear(), r.min_line_end_punctuation.reset(), r.max_short_lines.reset();
  r.max_repeated_line_chars.reset(), r.max_newline_word_ratio.reset(), r.drop_lorem_ipsum = false;
  return r;
}

Verdict judge(const CleanRules& rules, std::string_view text, bool is_chinese = false, bool is_math = false) {
  Analysis analysis;
  analysis.analyse(text);
  return ProseRules(rules, is_chinese).judge(analysis, is_math);
}

std::string repeat(std::string_view text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

struct RuleCase {
  Rule rule;
  std::function<void(CleanRules&)> set;
  std::string passes, fails;
  bool is_chinese = false;
};

TEST(ProseRules, EachAtItsLimitAndBeyond) {
  const std::vector<RuleCase> cases = {
      {Rule::kMinWords, [](auto& r) { r.min_words = 3; }, "one two three!", "one two, - !"},
      {Rule::kMinWords, [](auto& r) { r.min_words = 5; }, "一二三四五六七八", "一二三四五六七", true},
      {Rule::kMaxWords, [](auto& r) { r.max_words = 3; }, "one two three", "one two three four"},
      {Rule::kMinChars, [](auto& r) { r.min_chars = 4; }, "ab cd", "ab c "},
      {Rule::kMinMeanWordLength, [](auto& r) { r.min_mean_word_length = 3; }, "abc abc", "abc ab"},
      {Rule::kMaxMeanWordLength, [](auto& r) { r.max_mean_word_length = 4; }, "abcd abcd", "abcde abcd"},
      {Rule::kHashes, [](auto& r) { r.max_symbol_word_ratio = 0.5; }, "# two three", "## two x #"},
      {Rule::kEllipses, [](auto& r) { r.max_symbol_word_ratio = 0.5; }, "one... two", "one... two…"},
      {Rule::kBulletLines, [](auto& r) { r.max_bullet_lines = 0.5; }, "• a\nb", "• a\n- b\nc"},
      {Rule::kEllipsisLines, [](auto& r) { r.max_ellipsis_lines = 0.5; }, "a...\nb", "a...\nb…\nc"},
      {Rule::kMinAlphaWords, [](auto& r) { r.min_alpha_words = 0.5; }, "one 2", "one 2 3"},
      {Rule::kMinStopWords, [](auto& r) { r.min_stop_words = 2; }, "The end of it", "the end is it"},
      {Rule::kMinStopWords,
       [](auto& r) {
         r.min_stop_words = 2, r.stop_words = {"的", "了"};
       },
       "我的书丢了", "我的书不见", true},
      {Rule::kDuplicateLines, [](auto& r) { r.max_duplicate_lines = 0.5; }, "a\na\nb\nc", "a\na\na"},
      {Rule::kDuplicateLineChars, [](auto& r) { r.max_duplicate_line_chars = 0.5; }, "aa\naa", "a\na\na"},
      {Rule::kDuplicateParagraphs, [](auto& r) { r.max_duplicate_paragraphs = 0.5; }, "a\nb\n\na\nb\n\nc",
       "a\nb\n\na\nb\n\na\nb"},
      {Rule::kDuplicateParagraphChars, [](auto& r) { r.max_duplicate_paragraph_chars = 0.4; },
       "aa\n\naa\n\nbb", "aa\n\naa"},
      {Rule::kTop2Gram, [](auto& r) { r.max_top_ngrams = {0.5}; }, "a b c d e f", "a b a b a b"},
      {Rule::kTop3Gram,
       [](auto& r) {
         r.max_top_ngrams = {1, 0.5};
       },
       "a b c d e f g h i j", "a b c a b c a b c"},
      {Rule::kTop4Gram,
       [](auto& r) {
         r.max_top_ngrams = {1, 1, 0.6};
       },
       "a b c d e f g h i j", "a b c d a b c d"},
      {Rule::kDuplicate5Gram, [](auto& r) { r.max_duplicate_ngrams = {0.3}; }, "a b c d e f g h i j",
       "a b c d e a b c d e"},
      {Rule::kDuplicate10Gram, [](auto& r) { r.max_duplicate_ngrams = {1, 1, 1, 1, 1, 0.3}; },
       "a b c d e f g h i a b c d e f g h i", "a b c d e f g h i j a b c d e f g h i j"},
      {Rule::kDuplicate5Gram, [](auto& r) { r.max_duplicate_ngrams = {0.3}; },
       "一二三四五六七，一二三四五六七", "一二三四五六七八一二三四五六七八", true},
      {Rule::kLineEndPunctuation, [](auto& r) { r.min_line_end_punctuation = 0.5; }, "a.\nb", "a.\nb\nc"},
      {Rule::kLineEndPunctuation, [](auto& r) { r.min_line_end_punctuation = 0.5; }, "句子。\n词",
       "句子，\n词。\n词", true},
      {Rule::kShortLines, [](auto& r) { r.max_short_lines = 0.5, r.short_line_chars = 3; }, "abc\nabcd",
       "abc\nab\nabcd"},
      {Rule::kRepeatedLineChars, [](auto& r) { r.max_repeated_line_chars = 0.2; }, "a\nbbbb", "a\na\nbb"},
      {Rule::kNewlines, [](auto& r) { r.max_newline_word_ratio = 0.5; }, "a b\nc d\ne", "a\nb\nc"},
      {Rule::kSentences, [](auto& r) { r.min_sentences = 2; }, "One. Two!", "One 1.5 two."},
      {Rule::kCurlyBracket, [](auto& r) { r.drop_curly_bracket = true; }, "a (b)", "a {b}"},
      {Rule::kLoremIpsum, [](auto& r) { r.drop_lorem_ipsum = true; }, "lorem", "Lorem ipsum dolor"},
      {Rule::kMeanLineChars, [](auto& r) { r.min_mean_line_chars = 3; }, "ab\nabcd", "ab\nabc"},
      {Rule::kHanShare, [](auto& r) { r.min_han_share = 0.5; }, "中文ab", "中文abc", true},
      {Rule::kRepeated13Grams, [](auto& r) { r.max_repeated_13grams = 0.5; }, "一二三四五六七八九十甲乙丙丁",
       repeat("一二三四五", 12), true},
      {Rule::kTraditional, [](auto& r) { r.drop_traditional = true; }, "这个国家的学生说话",
       "這個國家的學生說話", true},
  };
  for (const auto& c : cases) {
    CleanRules rules = nothing();
    c.set(rules);
    const Verdict passed = judge(rules, c.passes, c.is_chinese), failed = judge(rules, c.fails, c.is_chinese);
    EXPECT_FALSE(passed) << rule_name(c.rule) << ": " << c.passes << " gave " << (passed ? passed->value : 0);
    ASSERT_TRUE(failed) << rule_name(c.rule) << ": " << c.fails;
    EXPECT_EQ(rule_name(failed->rule), rule_name(c.rule)) << c.fails;
    EXPECT_FALSE(judge(nothing(), c.fails, c.is_chinese));
  }
}

TEST(ProseRules, ArithmeticMayBeFullOfNumbers) {
  CleanRules rules = nothing();
  rules.min_alpha_words = 0.9;
  EXPECT_TRUE(judge(rules, "1 + 1 = 2 words", false, false));
  EXPECT_FALSE(judge(rules, "1 + 1 = 2 words", false, true));
}

// Plain and slow: strings in maps, as the published filters count.
double plain_duplicate_share(const std::vector<std::string>& words, size_t n, size_t num_chars) {
  std::set<std::vector<std::string>> seen;
  size_t chars = 0;
  for (size_t i = 0; i + n <= words.size();) {
    const std::vector<std::string> gram(words.begin() + static_cast<ptrdiff_t>(i),
                                        words.begin() + static_cast<ptrdiff_t>(i + n));
    const bool is_new = seen.insert(gram).second;
    if (!is_new)
      for (const auto& word : gram) chars += word.size() + 1;
    if (!is_new) --chars;
    i += is_new ? 1 : n;
  }
  return static_cast<double>(chars) / static_cast<double>(num_chars);
}

TEST(Ngrams, AgreeWithPlainCounting) {
  const core::CounterRng rng(5, "test/ngrams");
  for (uint64_t round = 0; round < 40; ++round) {
    std::vector<std::string> words;
    std::string text;
    for (uint64_t i = 0; i < 150; ++i) {
      words.push_back(std::string(1 + rng.below(round * 1000 + i, 3),
                                  static_cast<char>('a' + rng.below(round * 1000 + 500 + i, 2 + round % 4))));
      text += (i > 0 ? " " : "") + words.back();
    }
    Analysis analysis;
    analysis.analyse(text);
    Ngrams ngrams(analysis.units, analysis.scratch);
    for (size_t n = 2; n <= 10; ++n)
      EXPECT_DOUBLE_EQ(ngrams.duplicate_share(n), plain_duplicate_share(words, n, text.size())) << n;
  }
}

TEST(Units, WordsNumbersIdeographsSymbols) {
  Units units;
  cut_into_units("Don't pay 3.5 for 中文, well-known café!!", units);
  EXPECT_EQ(units.count(UnitKind::kWord), 5U);  // Don't pay for well-known café
  EXPECT_EQ(units.count(UnitKind::kNumber), 2U);
  EXPECT_EQ(units.count(UnitKind::kIdeograph), 2U);
  EXPECT_EQ(units.count(UnitKind::kSymbol), 3U);  // . , !!
  EXPECT_EQ(hash_word("CAFÉ"), hash_word("cafe"));
  cut_into_units("", units);
  EXPECT_EQ(units.num_words(), 0);
}

TEST(Language, TellsWhatTheRulesNeed) {
  const auto language = [](std::string_view text) {
    Units units;
    cut_into_units(text, units);
    return language_name(detect_language(units, 0.5));
  };
  EXPECT_EQ(language("今天天气很好，我们去公园。"), "zh");
  EXPECT_EQ(language("The weather is fine and we went to the park."), "en");
  EXPECT_EQ(language("今日はとても天気がいいです。"), "ja");
  EXPECT_EQ(language("오늘은 날씨가 좋습니다."), "ko");
  EXPECT_EQ(language("Сегодня хорошая погода."), "cyrillic");
  EXPECT_EQ(language("Das Wetter ist heute schön und wir gehen nicht in die Stadt."), "latin");
  EXPECT_EQ(language("الطقس جميل اليوم"), "arabic");
  EXPECT_EQ(language("12345 !!!"), "other");
  EXPECT_EQ(language("我们使用 Python 语言编写程序 and tests"), "zh");
}

TEST(Code, IsRecognisedAndProseIsNot) {
  const auto is_code = [](std::string_view text) {
    Lines lines;
    cut_into_lines(text, lines);
    return looks_like_code(text, lines);
  };
  EXPECT_TRUE(is_code("import os\n\ndef f(x):\n    return x\n"));
  EXPECT_TRUE(is_code("#include <a>\nint main() {\n  return 0;\n}\n"));
  EXPECT_FALSE(is_code("He came from the city.\nThey ran.\nIt was late; nobody spoke."));
  EXPECT_FALSE(is_code("Text about code:\n```\nint a;\nint b;\nint c;\n```"));
}

TEST(Code, BalanceOfBracketsQuotesAndIndentation) {
  for (const char* good :
       {"def f(a):\n    return [a, (1, 2)]\n", "int a[] = {1, 2}; // )\nchar c = '{';\n/* ( */\n",
        "x = \"\"\"a ' \" b\"\"\"\nif x:\n    y = {\n  1}\nz = 3\n",
        "const char* s = R\"(unbalanced \" ( here)\";\nint b = 1'000'000;\n",
        "#define X(\nint f() { return 0; }\n", "a = 'it\\'s'\nfor i in a:\n    pass\n"})
    EXPECT_EQ(first_unbalanced_line(good), 0U) << good;
  struct Bad {
    const char* code;
    size_t line;
  };
  for (const auto& [code, line] :
       {Bad{"def f(a:\n    return a\n", 2}, Bad{"int f() {\n  return 0;\n", 2}, Bad{"int a = (1];\n", 1},
        Bad{"s = 'open\nt = 1\nimport x\n", 1}, Bad{"def f():\nreturn 1\n", 2},
        Bad{"x = 1\n    y = 2\nif x:\n    pass\n", 2}, Bad{"/* open\nint a;\n", 1}})
    EXPECT_EQ(first_unbalanced_line(code), line) << code;
}

TEST(Code, RulesOfShape) {
  const auto verdict = [](std::string_view text, auto set) {
    configs::CleanCodeRules limits{{}, {}, {}, {}, {}, {}, false};
    set(limits);
    Analysis analysis;
    analysis.analyse(text);
    const Verdict found = judge_code(analysis, limits);
    return found ? rule_name(found->rule) : "";
  };
  EXPECT_EQ(verdict("a\nb\n", [](auto& l) { l.min_lines = 2; }), "");
  EXPECT_EQ(verdict("a\n\n", [](auto& l) { l.min_lines = 2; }), "code.min_lines");
  EXPECT_EQ(verdict("a\nb\n", [](auto& l) { l.max_lines = 1; }), "code.max_lines");
  EXPECT_EQ(verdict("{{{a", [](auto& l) { l.min_alpha_chars = 0.5; }), "code.alpha_chars");
  EXPECT_EQ(verdict("abcdef", [](auto& l) { l.max_mean_line_chars = 5; }), "code.line_length");
  EXPECT_EQ(verdict("long enough\nlong enough\n", [](auto& l) { l.max_duplicate_lines = 0.4; }),
            "code.duplicate_lines");
  EXPECT_EQ(verdict("// a\n// b\nc\n", [](auto& l) { l.max_comment_share = 0.5; }), "code.comments");
  EXPECT_EQ(verdict("f(\n", [](auto& l) { l.drop_unbalanced = true; }), "code.unbalanced");
}

CleanedDocument clean(const configs::CleanConfig& config, std::string text, std::string* out = nullptr) {
  const DocumentCleaner cleaner(config);
  DocumentCleaner::Scratch scratch;
  text::Document document{.text = std::move(text), .source = "", .fields = ""};
  CleanedDocument result;
  cleaner.clean(document, 0, scratch, result);
  if (out != nullptr) *out = document.text;
  return result;
}

TEST(DocumentCleaner, KeepsCleanDocumentsOfEveryKind) {
  const synth::Generator generator(11, 0);
  std::map<std::string_view, int> dropped;
  for (uint64_t i = 0; i < 400; ++i) {
    const auto document = generator.document(i);
    if (clean({}, document.text).violation) ++dropped[document.kind];
  }
  for (const auto& [kind, count] : dropped) EXPECT_LE(count, 1) << kind;
}

TEST(DocumentCleaner, DropsWhatIsEmptyForeignOrInvalid) {
  EXPECT_EQ(clean({}, " \n\u200B\n").violation->rule, Rule::kEmpty);
  EXPECT_EQ(clean({}, "锟斤拷锟斤拷").violation->rule, Rule::kMojibake);
  configs::CleanConfig chinese_only;
  chinese_only.language.keep = {"zh"};
  EXPECT_EQ(clean(chinese_only, repeat("The cat sat on the mat with a hat. ", 20)).violation->rule,
            Rule::kLanguage);
  EXPECT_EQ(clean({}, "限时特价，包邮，加微信 abc12345 下单！").violation->rule, Rule::kAdvertisement);
}

TEST(DocumentCleaner, SurvivesAnyBytesThatAreUtf8) {
  const core::CounterRng rng(3, "test/garbage");
  constexpr char32_t kOdd[] = {0,      '<',    '&',  '\'', '"',     '\\',   '\n',    ':',
                               '(',    '}',    '@',  '1',  '.',     '#',    0x200D,  0x301,
                               0x4E2D, 0x9428, 0xC3, 0xA9, 0x1F600, 0xFFFD, 0x10FFFF};
  for (uint64_t round = 0; round < 300; ++round) {
    std::string text;
    for (uint64_t i = 0; i < rng.below(round * 1000, 200); ++i)
      text::append_utf8(text, kOdd[rng.below(round * 1000 + 1 + i, std::size(kOdd))]);
    std::string cleaned;
    clean({}, text, &cleaned);
    EXPECT_TRUE(text::is_valid_utf8(cleaned));
  }
}

}  // namespace
}  // namespace athanor::clean
