#include "data/clean/quality_rules.h"

#include <algorithm>

#include "data/clean/language.h"
#include "data/text/character.h"
#include "data/text/utf8.h"

namespace athanor::clean {
namespace {

// Applies limits one after the other and remembers the first one broken.
class Judge {
 public:
  template <typename Limit>
  void at_least(Rule rule, double value, const std::optional<Limit>& limit) {
    if (limit && value < static_cast<double>(*limit)) record(rule, value, static_cast<double>(*limit));
  }
  template <typename Limit>
  void at_most(Rule rule, double value, const std::optional<Limit>& limit) {
    if (limit && value > static_cast<double>(*limit)) record(rule, value, static_cast<double>(*limit));
  }
  const Verdict& verdict() const { return verdict_; }

 private:
  void record(Rule rule, double value, double limit) {
    if (!verdict_) verdict_ = Violation{rule, value, limit};
  }
  Verdict verdict_;
};

Rule nth(Rule first, size_t n) {
  return static_cast<Rule>(static_cast<size_t>(first) + n);
}

double ratio(double part, double whole) {
  return whole > 0 ? part / whole : 0.0;
}

size_t count_substring(std::string_view text, std::string_view needle) {
  size_t count = 0;
  for (size_t at = text.find(needle); at != std::string_view::npos;
       at = text.find(needle, at + needle.size()))
    ++count;
  return count;
}

double share_of_lines(const Lines& lines, bool LineFacts::*fact) {
  const auto holds = [&](const LineFacts& line) { return line.*fact; };
  return ratio(static_cast<double>(std::count_if(lines.all.begin(), lines.all.end(), holds)),
               static_cast<double>(lines.all.size()));
}

double mean_word_length(const Units& units) {
  const double chars = static_cast<double>(units.chars(UnitKind::kWord) + units.chars(UnitKind::kNumber) +
                                           units.chars(UnitKind::kIdeograph));
  return ratio(chars, units.num_words());
}

// Runs of . ! ? followed by white space, a quotation mark or the end; Chinese marks need nothing after them.
size_t count_sentences(std::string_view text) {
  size_t num_sentences =
      count_substring(text, "。") + count_substring(text, "！") + count_substring(text, "？");
  for (size_t at = text.find_first_of(".!?"); at != std::string_view::npos;
       at = text.find_first_of(".!?", at)) {
    at = std::min(text.find_first_not_of(".!?", at), text.size());
    num_sentences +=
        at == text.size() || std::string_view(" \n\t\"')").find(text[at]) != std::string_view::npos;
  }
  return num_sentences;
}

bool contains_lorem_ipsum(std::string_view text) {
  return text.find("orem ipsum") != std::string_view::npos ||
         text.find("OREM IPSUM") != std::string_view::npos;
}

}  // namespace

void Analysis::analyse(std::string_view new_text) {
  text = new_text;
  cut_into_units(text, units);
  cut_into_lines(text, lines);
}

ProseRules::ProseRules(const configs::CleanRules& limits, bool is_chinese)
    : limits_(limits), is_chinese_(is_chinese) {
  for (const auto& word : limits.stop_words) stop_words_.insert(hash_word(word));
}

Verdict ProseRules::judge(Analysis& analysis, bool is_math) const {
  if (auto verdict = judge_gopher_quality(analysis, is_math)) return verdict;
  if (auto verdict = judge_gopher_repetition(analysis)) return verdict;
  if (auto verdict = judge_fineweb(analysis)) return verdict;
  if (auto verdict = judge_c4(analysis)) return verdict;
  return judge_evalweb(analysis);
}

Verdict ProseRules::judge_gopher_quality(const Analysis& a, bool is_math) const {
  const double num_words = a.units.num_words();
  const auto ellipses = static_cast<double>(count_substring(a.text, "...") + count_substring(a.text, "…"));
  Judge judge;
  judge.at_least(Rule::kMinWords, num_words, limits_.min_words);
  judge.at_most(Rule::kMaxWords, num_words, limits_.max_words);
  judge.at_least(Rule::kMinChars, static_cast<double>(a.units.num_chars - a.units.num_space_chars),
                 limits_.min_chars);
  judge.at_least(Rule::kMinMeanWordLength, mean_word_length(a.units), limits_.min_mean_word_length);
  judge.at_most(Rule::kMaxMeanWordLength, mean_word_length(a.units), limits_.max_mean_word_length);
  const auto hashes = static_cast<double>(std::count(a.text.begin(), a.text.end(), '#'));
  judge.at_most(Rule::kHashes, ratio(hashes, num_words), limits_.max_symbol_word_ratio);
  judge.at_most(Rule::kEllipses, ratio(ellipses, num_words), limits_.max_symbol_word_ratio);
  judge.at_most(Rule::kBulletLines, share_of_lines(a.lines, &LineFacts::starts_with_bullet),
                limits_.max_bullet_lines);
  judge.at_most(Rule::kEllipsisLines, share_of_lines(a.lines, &LineFacts::ends_in_ellipsis),
                limits_.max_ellipsis_lines);
  if (!is_math)
    judge.at_least(Rule::kMinAlphaWords, ratio(a.units.num_alpha_words(), num_words),
                   limits_.min_alpha_words);
  if (limits_.min_stop_words)
    judge.at_least(Rule::kMinStopWords, static_cast<double>(count_stop_words(a.units)),
                   limits_.min_stop_words);
  return judge.verdict();
}

Verdict ProseRules::judge_gopher_repetition(Analysis& a) const {
  Judge judge;
  const auto paragraphs = duplicate_paragraphs(a.lines, a.scratch);
  judge.at_most(Rule::kDuplicateParagraphs, paragraphs.items, limits_.max_duplicate_paragraphs);
  judge.at_most(Rule::kDuplicateParagraphChars, paragraphs.chars, limits_.max_duplicate_paragraph_chars);
  const auto lines = duplicate_lines(a.lines, a.scratch);
  judge.at_most(Rule::kDuplicateLines, lines.items, limits_.max_duplicate_lines);
  judge.at_most(Rule::kDuplicateLineChars, lines.chars, limits_.max_duplicate_line_chars);
  if (judge.verdict()) return judge.verdict();

  Ngrams ngrams(a.units, a.scratch);
  for (size_t i = 0; i < limits_.max_top_ngrams.size() && !judge.verdict(); ++i)
    judge.at_most(nth(Rule::kTop2Gram, i), ngrams.top_share(window_width(2 + i, is_chinese_)),
                  std::optional(limits_.max_top_ngrams[i]));
  // A repeated n-gram holds repeated shorter ones: without any of width n, the longer ones need no counting.
  bool may_repeat = true;
  for (size_t i = 0; i < limits_.max_duplicate_ngrams.size() && may_repeat && !judge.verdict(); ++i) {
    const double share = ngrams.duplicate_share(window_width(5 + i, is_chinese_));
    judge.at_most(nth(Rule::kDuplicate5Gram, i), share, std::optional(limits_.max_duplicate_ngrams[i]));
    may_repeat = share > 0;
  }
  return judge.verdict();
}

Verdict ProseRules::judge_fineweb(Analysis& a) const {
  const auto is_short = [&](const LineFacts& line) { return line.num_chars <= limits_.short_line_chars; };
  const auto num_short = std::count_if(a.lines.all.begin(), a.lines.all.end(), is_short);
  Judge judge;
  judge.at_least(Rule::kLineEndPunctuation, share_of_lines(a.lines, &LineFacts::ends_in_punctuation),
                 limits_.min_line_end_punctuation);
  judge.at_most(Rule::kShortLines,
                ratio(static_cast<double>(num_short), static_cast<double>(a.lines.all.size())),
                limits_.max_short_lines);
  judge.at_most(Rule::kRepeatedLineChars, duplicate_lines(a.lines, a.scratch).chars,
                limits_.max_repeated_line_chars);
  judge.at_most(Rule::kNewlines, ratio(static_cast<double>(a.lines.num_newlines), a.units.num_words()),
                limits_.max_newline_word_ratio);
  return judge.verdict();
}

Verdict ProseRules::judge_c4(const Analysis& a) const {
  Judge judge;
  if (limits_.min_sentences)
    judge.at_least(Rule::kSentences, static_cast<double>(count_sentences(a.text)), limits_.min_sentences);
  if (judge.verdict()) return judge.verdict();
  if (limits_.drop_curly_bracket && a.text.find('{') != std::string_view::npos)
    return Violation{Rule::kCurlyBracket, 1, 0};
  if (limits_.drop_lorem_ipsum && contains_lorem_ipsum(a.text)) return Violation{Rule::kLoremIpsum, 1, 0};
  return {};
}

Verdict ProseRules::judge_evalweb(Analysis& a) const {
  const auto num_chars = static_cast<double>(a.units.num_chars - a.units.num_space_chars);
  Judge judge;
  judge.at_least(Rule::kMeanLineChars,
                 ratio(static_cast<double>(a.lines.num_chars), static_cast<double>(a.lines.all.size())),
                 limits_.min_mean_line_chars);
  judge.at_least(Rule::kHanShare, ratio(static_cast<double>(a.units.scripts.han), num_chars),
                 limits_.min_han_share);
  if (judge.verdict()) return judge.verdict();
  if (limits_.max_repeated_13grams)
    judge.at_most(Rule::kRepeated13Grams, Ngrams(a.units, a.scratch).repeated_windows(13),
                  limits_.max_repeated_13grams);
  if (judge.verdict()) return judge.verdict();
  if (limits_.drop_traditional && is_traditional_chinese(a.text)) return Violation{Rule::kTraditional, 1, 0};
  return {};
}

// Chinese stop words are single characters and so are Chinese units; the middle dot is a symbol.
size_t ProseRules::count_stop_words(const Units& units) const {
  return static_cast<size_t>(std::count_if(units.all.begin(), units.all.end(), [&](const Unit& unit) {
    return stop_words_.count(unit.hash) > 0;
  }));
}

}  // namespace athanor::clean
