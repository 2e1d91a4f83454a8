#include "data/clean/rules.h"

#include <array>

namespace athanor::clean {
namespace {

constexpr std::array<std::string_view, kNumRules> kRuleNames = {"read.overlong_record",
                                                                "read.invalid_record",
                                                                "read.invalid_text",
                                                                "empty",
                                                                "mojibake",
                                                                "advertisement",
                                                                "language",
                                                                "gopher.min_words",
                                                                "gopher.max_words",
                                                                "evalweb.min_chars",
                                                                "gopher.min_mean_word_length",
                                                                "gopher.max_mean_word_length",
                                                                "gopher.hashes",
                                                                "gopher.ellipses",
                                                                "gopher.bullet_lines",
                                                                "gopher.ellipsis_lines",
                                                                "gopher.min_alpha_words",
                                                                "gopher.min_stop_words",
                                                                "gopher.duplicate_paragraphs",
                                                                "gopher.duplicate_paragraph_chars",
                                                                "gopher.duplicate_lines",
                                                                "gopher.duplicate_line_chars",
                                                                "gopher.top_2_gram",
                                                                "gopher.top_3_gram",
                                                                "gopher.top_4_gram",
                                                                "gopher.duplicate_5_grams",
                                                                "gopher.duplicate_6_grams",
                                                                "gopher.duplicate_7_grams",
                                                                "gopher.duplicate_8_grams",
                                                                "gopher.duplicate_9_grams",
                                                                "gopher.duplicate_10_grams",
                                                                "fineweb.line_end_punctuation",
                                                                "fineweb.short_lines",
                                                                "fineweb.repeated_line_chars",
                                                                "fineweb.newlines",
                                                                "c4.sentences",
                                                                "c4.curly_bracket",
                                                                "c4.lorem_ipsum",
                                                                "evalweb.mean_line_chars",
                                                                "evalweb.han_share",
                                                                "evalweb.repeated_13_grams",
                                                                "evalweb.traditional",
                                                                "code.min_lines",
                                                                "code.max_lines",
                                                                "code.alpha_chars",
                                                                "code.line_length",
                                                                "code.duplicate_lines",
                                                                "code.comments",
                                                                "code.unbalanced",
                                                                "duplicate.exact",
                                                                "duplicate.near"};

constexpr std::array<std::string_view, kNumEdits> kEditNames = {
    "encoding_repaired", "mojibake_repaired",           "normalised",           "html_removed",
    "gutenberg_removed", "advertisement_lines_removed", "policy_lines_removed", "email_masked",
    "ip_address_masked", "mobile_number_masked",        "id_card_masked",       "bank_card_masked"};

}  // namespace

std::string_view rule_name(Rule rule) {
  return kRuleNames[static_cast<size_t>(rule)];
}
std::string_view edit_name(Edit edit) {
  return kEditNames[static_cast<size_t>(edit)];
}

}  // namespace athanor::clean
