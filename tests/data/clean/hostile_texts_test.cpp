// Texts made to be slow. Every step of the cleaner takes time in proportion to a document's length: these
// take seconds together, where a quadratic step takes minutes and runs into the time limit of this program.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "data/clean/boilerplate.h"
#include "data/clean/code_rules.h"
#include "data/clean/document_cleaner.h"
#include "data/clean/markup.h"
#include "data/clean/mojibake.h"
#include "data/clean/normalise.h"
#include "data/clean/privacy.h"

namespace athanor::clean {
namespace {

constexpr size_t kTextBytes = size_t{2} << 20;

std::string repeated(std::string_view unit) {
  std::string text;
  while (text.size() < kTextBytes) text += unit;
  return text;
}

// Every rule passes, so that none is spared.
configs::CleanConfig lenient_config() {
  configs::CleanConfig config;
  config.max_replaced_share = 1;
  config.normalise.max_blank_lines = 1 << 30;
  config.boilerplate.max_advertisement_share.reset();
  for (configs::CleanRules* rules : {&config.english_rules, &config.chinese_rules, &config.other_rules}) {
    *rules = {};
    rules->min_words = 0, rules->max_words.reset(), rules->min_mean_word_length.reset();
    rules->max_mean_word_length.reset(), rules->max_symbol_word_ratio.reset();
    rules->max_bullet_lines.reset(), rules->max_ellipsis_lines.reset(), rules->min_alpha_words.reset();
    rules->min_stop_words.reset(), rules->max_duplicate_lines = 2, rules->max_duplicate_paragraphs = 2;
    rules->max_duplicate_line_chars = 2, rules->max_duplicate_paragraph_chars = 2;
    rules->max_top_ngrams = {9, 9, 9}, rules->max_duplicate_ngrams = {9, 9, 9, 9, 9, 9};
    rules->min_line_end_punctuation.reset(), rules->max_short_lines.reset();
    rules->max_repeated_line_chars = 2, rules->max_newline_word_ratio.reset(), rules->min_sentences = 0;
  }
  return config;
}

// Runs of one mark, each of another length, so that none closes another.
std::string runs_of_every_length(char mark, std::string_view after) {
  std::string text;
  for (size_t length = 2000; text.size() < kTextBytes && length > 2; --length)
    text.append(length, mark).append(after);
  return text;
}

std::string edited(std::string text) {
  normalise({.max_blank_lines = 1 << 30}, text);
  repair_mojibake(text);
  remove_html(text);
  remove_gutenberg(text);
  remove_policy_lines(text);
  remove_advertisement_lines(text);
  mask_personal_data({}, text);
  return text;
}

TEST(HostileTexts, AreEditedInLinearTime) {
  std::vector<std::string> texts = {runs_of_every_length('`', " "), runs_of_every_length('`', "x\n"),
                                    runs_of_every_length('~', "x\n")};
  for (std::string_view unit : {"<!--",
                                "<script>",
                                "<style>",
                                "<script></style>",
                                "<!-- -- >",
                                "<!doctype",
                                "<p \"'",
                                "</",
                                "&#",
                                "a@",
                                "@",
                                "a@b.c",
                                "1 ",
                                "1.1.",
                                "***",
                                "`a``b",
                                "```a\n",
                                "<!--\n```\n-->\n",
                                "\n",
                                "加微信\n",
                                "discount http\n",
                                "Ã©",
                                "\u0315\u0300",
                                "\u0F73"})
    texts.push_back(repeated(unit));
  for (const auto& text : texts) EXPECT_LE(edited(text).size(), 3 * text.size()) << text.substr(0, 40);
}

TEST(HostileTexts, AreJudgedInLinearTime) {
  const DocumentCleaner cleaner(lenient_config());
  DocumentCleaner::Scratch scratch;
  CleanedDocument result;
  for (std::string_view unit : {"<script>", "a@", "a ", "x = 1;\n", "def f():\n ", "。", ".!?\n"}) {
    text::Document document{repeated(unit), "", ""};
    cleaner.clean(document, 0, scratch, result);
    EXPECT_LE(result.bytes_after, 3 * kTextBytes) << '"' << unit << "\" repeated";
  }
}

TEST(HostileTexts, AreBalancedAsCodeInLinearTime) {
  for (std::string_view unit : {"R\"\" ", "'a", "/* */", "\\", "{}"}) {
    // Of one line, or of none.
    EXPECT_LE(first_unbalanced_line(repeated(unit)), 1u) << '"' << unit << "\" repeated";
  }
}

TEST(HostileTexts, MarksWithoutALetterStayMarks) {
  std::string text = "a";
  for (int i = 0; i < 1000; ++i) text += "\u0315\u0300";
  const size_t num_bytes = text.size();
  EXPECT_TRUE(normalise({}, text));
  EXPECT_EQ(text.substr(0, 2), "à");
  EXPECT_EQ(text.size(), num_bytes - 1);  // nothing but the letter's first accent was composed
}

}  // namespace
}  // namespace athanor::clean
