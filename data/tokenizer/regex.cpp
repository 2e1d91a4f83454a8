#include "data/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <array>
#include <cctype>
#include <optional>
#include <pcre2.h>

#include "core/error.h"
#include "data/tokenizer/utf8.h"

namespace athanor::data::tokenizer {
namespace {

using core::DataError;

// White_Space. PCRE2's own \s also takes U+180E, which lost the property in Unicode 6.3.
constexpr std::string_view kWhitespaceRanges =
    R"(\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

// Oniguruma's \w: marks and circled letters too, which PCRE2's leaves out, and the fractions of Latin-1.
constexpr std::string_view kWordRanges =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{b2}\x{b3}\x{b9}\x{bc}-\x{be}\x{24b6}-\x{24e9})"
    R"(\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189})";

class SyntaxTranslator {
 public:
  SyntaxTranslator(std::string_view pattern, const std::string& where) : pattern_(pattern), where_(where) {}

  std::string translate() {
    while (at_ < pattern_.size()) {
      if (pattern_[at_] == '\\') {
        escape();
      } else if (in_class_) {
        class_character();
      } else {
        plain_character();
      }
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(std::string_view construct) const {
    throw DataError(
        "{}: the regular expression \"{}\" uses {} (at byte {}), which is not supported; rewrite it", where_,
        excerpt(pattern_), construct, at_);
  }

  bool next_is(std::string_view text) const { return pattern_.substr(at_, text.size()) == text; }

  void copy(size_t num_bytes) {
    out_ += pattern_.substr(at_, num_bytes);
    at_ += num_bytes;
  }

  void escape() {
    const char letter = at_ + 1 < pattern_.size() ? pattern_[at_ + 1] : '\0';
    if (letter == 's' || letter == 'w' || (!in_class_ && (letter == 'S' || letter == 'W'))) {
      const bool is_negated = letter == 'S' || letter == 'W';
      const auto ranges = letter == 's' || letter == 'S' ? kWhitespaceRanges : kWordRanges;
      out_ += in_class_ ? std::string(ranges) : fmt::format("[{}{}]", is_negated ? "^" : "", ranges);
      at_ += 2;
    } else if (letter == 'W') {
      refuse("\\W within a set");
    } else if (letter == 'u') {
      out_ += fmt::format("\\x{{{}}}", pattern_.substr(at_ + 2, 4));
      at_ = std::min(at_ + 6, pattern_.size());
    } else if (letter == 'h' || letter == 'H') {
      refuse("\\h (a hexadecimal digit)");
    } else {
      copy(escape_size());
    }
  }

  // \p{L} and \x{2581} go on to their brace, other escapes are one character behind the backslash.
  size_t escape_size() const {
    const bool has_brace = at_ + 2 < pattern_.size() && pattern_[at_ + 2] == '{' &&
                           std::string_view("pPxo").find(pattern_[at_ + 1]) != std::string_view::npos;
    const size_t end = has_brace ? pattern_.find('}', at_) + 1 : at_ + 2;
    return (end == 0 || end > pattern_.size() ? pattern_.size() : end) - at_;
  }

  void class_character() {
    if (next_is("[:")) {
      const size_t end = pattern_.find(":]", at_);
      if (end == std::string_view::npos) refuse("an open bracket expression");
      copy(end + 2 - at_);
      return;
    }
    if (next_is("[")) refuse("a set within a set");
    if (next_is("&&")) refuse("a set intersection");
    in_class_ = pattern_[at_] != ']';
    copy(1);
  }

  void plain_character() {
    if (next_is("(?")) check_inline_options();
    if (next_is("[")) return open_class();
    if (next_is("{")) return interval();
    copy(1);
  }

  void open_class() {
    in_class_ = true;
    copy(next_is("[^") ? 2 : 1);
    if (next_is("]")) out_ += '\\', copy(1);
  }

  // x{1,3}+ is possessive in PCRE2 and "one or more times x{1,3}" in Ruby.
  void interval() {
    const size_t close = pattern_.find('}', at_);
    const bool is_repeated = close + 1 < pattern_.size() && pattern_[close + 1] == '+';
    if (close == std::string_view::npos || !is_repeated) return copy(1);
    const bool has_upper_bound_above_one = pattern_[at_ + 2] == ',';
    if (!has_upper_bound_above_one || (!next_is("{1") && !next_is("{0"))) refuse("a repeated interval");
    out_ += next_is("{1") ? '+' : '*';
    at_ = close + 2;
  }

  // Ruby's m lets the dot match newlines, PCRE2's changes ^ and $.
  void check_inline_options() {
    for (size_t i = at_ + 2; i < pattern_.size() && std::isalpha(static_cast<unsigned char>(pattern_[i]));
         ++i)
      if (pattern_[i] == 'm') refuse("the inline option m");
  }

  std::string_view pattern_;
  const std::string& where_;
  size_t at_ = 0;
  bool in_class_ = false;
  std::string out_;
};

std::string pcre2_message(int error) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

struct MatchDataDeleter {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
using MatchData = std::unique_ptr<pcre2_match_data, MatchDataDeleter>;

}  // namespace

std::string oniguruma_to_pcre2(std::string_view pattern, const std::string& where) {
  return SyntaxTranslator(pattern, where).translate();
}

struct Pattern::Compiled {
  Compiled(std::string_view oniguruma, const std::string& where_in_file) : where(where_in_file) {
    const std::string pattern = oniguruma_to_pcre2(oniguruma, where);
    int error = 0;
    PCRE2_SIZE offset = 0;
    code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                         PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &offset, nullptr);
    if (!code)
      throw DataError("{}: the regular expression \"{}\" is not valid near byte {}: {}", where,
                      excerpt(oniguruma), offset, pcre2_message(error));
    has_jit = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;
  }
  ~Compiled() { pcre2_code_free(code); }
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;

  std::optional<Span> find(std::string_view text, size_t start, pcre2_match_data* data) const {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    int result = has_jit
                     ? pcre2_jit_match(code, subject, text.size(), start, PCRE2_NO_UTF_CHECK, data, nullptr)
                     : PCRE2_ERROR_JIT_STACKLIMIT;
    if (result == PCRE2_ERROR_JIT_STACKLIMIT)
      result =
          pcre2_match(code, subject, text.size(), start, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data, nullptr);
    if (result == PCRE2_ERROR_NOMATCH) return std::nullopt;
    if (result < 0)
      throw DataError("{}: matching the regular expression against a text of {} bytes failed: {}", where,
                      text.size(), pcre2_message(result));
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data);
    return Span{bounds[0], bounds[1]};
  }

  std::string where;
  pcre2_code* code = nullptr;
  bool has_jit = false;
};

Pattern Pattern::literal(std::string text) {
  if (text.empty()) return regex("", "an empty literal");
  Pattern pattern;
  pattern.literal_ = std::move(text);
  return pattern;
}

Pattern Pattern::regex(std::string_view oniguruma, const std::string& where) {
  Pattern pattern;
  pattern.compiled_ = std::make_shared<Compiled>(oniguruma, where);
  return pattern;
}

std::vector<Span> Pattern::find_literals(std::string_view text) const {
  std::vector<Span> spans;
  for (size_t at = 0; (at = text.find(literal_, at)) != std::string_view::npos; at += literal_.size())
    spans.push_back({at, at + literal_.size()});
  return spans;
}

std::vector<Span> Pattern::find_all(std::string_view text) const {
  if (text.empty()) return {};
  if (!compiled_) return find_literals(text);
  const MatchData data(pcre2_match_data_create(1, nullptr));
  std::vector<Span> spans;
  size_t start = 0;
  while (start <= text.size()) {
    const auto match = compiled_->find(text, start, data.get());
    if (!match) break;
    const bool is_repeated_empty =
        match->begin == match->end && !spans.empty() && spans.back().end == match->end;
    if (is_repeated_empty) {
      start += start < text.size() ? decode_code_point(text.data() + start).num_bytes : 1;
    } else {
      spans.push_back(*match);
      start = match->end;
    }
  }
  return spans;
}

std::string Pattern::replace_all(std::string_view text, std::string_view content) const {
  std::string out;
  size_t copied = 0;
  for (const Span& match : find_all(text)) {
    out += text.substr(copied, match.begin - copied);
    out += content;
    copied = match.end;
  }
  out += text.substr(copied);
  return out;
}

}  // namespace athanor::data::tokenizer
