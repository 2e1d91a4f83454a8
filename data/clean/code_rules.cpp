#include "data/clean/code_rules.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "data/text/ascii.h"

namespace athanor::clean {
namespace {

size_t count_lines_with(std::string_view code, const Lines& lines, auto&& predicate) {
  return static_cast<size_t>(std::count_if(lines.all.begin(), lines.all.end(), [&](const LineFacts& line) {
    return predicate(code.substr(line.begin_byte, line.end_byte - line.begin_byte));
  }));
}

bool is_comment(std::string_view line) {
  return line.starts_with("//") || line.starts_with("/*") || line.starts_with("* ") ||
         line.starts_with("*/") ||
         (line.starts_with('#') && !line.starts_with("#include") && !line.starts_with("#define") &&
          !line.starts_with("#if") && !line.starts_with("#endif") && !line.starts_with("#pragma"));
}

double share_of_duplicate_lines(const Lines& lines) {
  HashCounter counter;
  counter.reset(lines.all.size());
  size_t num_long = 0, num_duplicate = 0;
  for (const LineFacts& line : lines.all) {
    if (line.num_chars < 10) continue;  // closing brackets and `else:` repeat in any code
    ++num_long;
    num_duplicate += counter.add(line.hash) > 0;
  }
  return num_long == 0 ? 0 : static_cast<double>(num_duplicate) / static_cast<double>(num_long);
}

// Walks through code and keeps what is open: brackets, one string or comment, and Python's indentation.
class Balance {
 public:
  explicit Balance(std::string_view code) : code_(code), is_python_(looks_like_python(code)) {}

  size_t first_bad_line() {
    while (at_ < code_.size()) {
      if (is_line_start_ && !begin_line()) return line_;
      if (at_ < code_.size() && !step()) return line_;
    }
    return open_.empty() && !expects_indent_ ? 0 : line_;
  }

 private:
  bool starts(std::string_view what) const { return code_.substr(at_).starts_with(what); }

  bool begin_line() {
    is_line_start_ = false;
    const size_t first = std::min(code_.find_first_not_of(" \t", at_), code_.size());
    if (!is_python_) {
      if (first < code_.size() && code_[first] == '#')
        skip_to_line_end();  // the preprocessor has its own rules
      return true;
    }
    const bool is_blank =
        first == code_.size() || code_[first] == '\n' || code_[first] == '\r' || code_[first] == '#';
    return !open_.empty() || is_blank || is_continued_ || check_indent(first - at_);
  }

  bool check_indent(size_t indent) {
    const bool is_deeper = indent > indents_.back();
    if (is_deeper != expects_indent_) return false;
    expects_indent_ = false;
    if (is_deeper) {
      indents_.push_back(indent);
      return true;
    }
    while (indents_.back() > indent) indents_.pop_back();
    return indents_.back() == indent;
  }

  bool step() {
    const char c = code_[at_];
    if (c == '\n') return end_line();
    if (is_python_ && c == '#') return skip_to_line_end();
    if (!is_python_ && starts("//")) return skip_to_line_end();
    if (!is_python_ && starts("/*")) return skip_past(2, "*/");
    if (is_python_ && (starts("\"\"\"") || starts("'''"))) return skip_past(3, code_.substr(at_, 3));
    if (!is_python_ && c == '`') return skip_past(1, "`");
    if (!is_python_ && starts("R\"")) return skip_raw_string();
    if (c == '"' || (c == '\'' && !is_digit_separator())) return skip_string(c);
    if (c != ' ' && c != '\t' && c != '\r') last_ = c;
    ++at_;
    return bracket(c);
  }

  bool end_line() {
    is_continued_ = last_ == '\\';
    if (is_python_ && open_.empty() && last_ == ':') expects_indent_ = true;
    ++at_;
    if (at_ < code_.size()) ++line_;
    is_line_start_ = true;
    last_ = ' ';
    return true;
  }

  bool bracket(char c) {
    static constexpr std::string_view kOpen = "([{", kClose = ")]}";
    if (kOpen.find(c) != std::string_view::npos) open_.push_back(kClose[kOpen.find(c)]);
    if (kClose.find(c) == std::string_view::npos) return true;
    if (open_.empty() || open_.back() != c) return false;
    open_.pop_back();
    return true;
  }

  bool skip_string(char quote) {
    last_ = quote;
    for (++at_; at_ < code_.size() && code_[at_] != '\n'; ++at_) {
      if (code_[at_] == '\\') {
        if (++at_ < code_.size() && code_[at_] == '\n') ++line_;
      } else if (code_[at_] == quote) {
        ++at_;
        return true;
      }
    }
    return false;
  }

  bool skip_past(size_t opening, std::string_view closing) {
    last_ = 'x';
    size_t end = code_.find(closing, at_ + opening);
    while (end != std::string_view::npos && closing != "*/" && code_[end - 1] == '\\')
      end = code_.find(closing, end + 1);
    if (end == std::string_view::npos) return false;
    line_ += static_cast<size_t>(std::count(code_.begin() + static_cast<ptrdiff_t>(at_),
                                            code_.begin() + static_cast<ptrdiff_t>(end), '\n'));
    at_ = end + closing.size();
    return true;
  }

  bool skip_raw_string() {
    const size_t parenthesis = code_.substr(at_, 19).find('(');  // a delimiter has 16 characters at most
    if (parenthesis == std::string_view::npos) return ++at_, true;
    const std::string closing = ")" + std::string(code_.substr(at_ + 2, parenthesis - 2)) + "\"";
    return skip_past(2, closing);
  }

  bool skip_to_line_end() {
    at_ = std::min(code_.find('\n', at_), code_.size());
    return true;
  }

  // 1'000'000 in C++, and lifetimes such as 'a in Rust, which no second quote closes.
  bool is_digit_separator() const {
    if (is_python_) return false;
    const bool follows_digit = at_ > 0 && text::is_ascii_digit(code_[at_ - 1]);
    return follows_digit || (code_.substr(at_ + 1, 4).find('\'') == std::string_view::npos);
  }

  std::string_view code_;
  bool is_python_;
  size_t at_ = 0, line_ = 1;
  char last_ = ' ';
  bool is_line_start_ = true, is_continued_ = false, expects_indent_ = false;
  std::vector<char> open_;
  std::vector<size_t> indents_ = {0};
};

}  // namespace

bool looks_like_python(std::string_view code) {
  static constexpr std::array<std::string_view, 6> kStarts = {"def ",  "import ", "from ",
                                                              "elif ", "except ", "@"};
  size_t num_python = code.find("\"\"\"") != std::string_view::npos ? 3 : 0, num_braces = 0;
  for (size_t at = 0; at < code.size();) {
    const size_t end = std::min(code.find('\n', at), code.size());
    const auto line = code.substr(at, end - at);
    at = end + 1;
    const size_t last = line.find_last_not_of(" \t\r");
    if (last == std::string_view::npos) continue;
    const auto starts = [&](std::string_view start) { return line.starts_with(start); };
    num_python += line[last] == ':'                                                          ? 2
                  : std::any_of(kStarts.begin(), kStarts.end(), starts) && line[last] != ';' ? 1
                                                                                             : 0;
    num_braces += line[last] == ';' || line[last] == '{' || line[last] == '}';
  }
  return num_python > num_braces;
}

size_t first_unbalanced_line(std::string_view code) {
  return Balance(code).first_bad_line();
}

Verdict judge_code(const Analysis& a, const configs::CleanCodeRules& limits) {
  const auto num_lines = static_cast<double>(a.lines.all.size());
  const auto letters = static_cast<double>(a.units.scripts.letters());
  const auto visible =
      static_cast<double>(std::max<uint64_t>(1, a.units.num_chars - a.units.num_space_chars));
  const auto below = [](double value, const auto& limit) {
    return limit && value < static_cast<double>(*limit);
  };
  const auto above = [](double value, const auto& limit) {
    return limit && value > static_cast<double>(*limit);
  };
  if (below(num_lines, limits.min_lines))
    return Violation{Rule::kCodeMinLines, num_lines, static_cast<double>(*limits.min_lines)};
  if (above(num_lines, limits.max_lines))
    return Violation{Rule::kCodeMaxLines, num_lines, static_cast<double>(*limits.max_lines)};
  if (below(letters / visible, limits.min_alpha_chars))
    return Violation{Rule::kCodeAlpha, letters / visible, *limits.min_alpha_chars};
  const double mean_chars = static_cast<double>(a.lines.num_chars) / std::max(1.0, num_lines);
  if (above(mean_chars, limits.max_mean_line_chars))
    return Violation{Rule::kCodeLineLength, mean_chars, *limits.max_mean_line_chars};
  const double duplicates = share_of_duplicate_lines(a.lines);
  if (above(duplicates, limits.max_duplicate_lines))
    return Violation{Rule::kCodeDuplicateLines, duplicates, *limits.max_duplicate_lines};
  const double comments =
      static_cast<double>(count_lines_with(a.text, a.lines, is_comment)) / std::max(1.0, num_lines);
  if (above(comments, limits.max_comment_share))
    return Violation{Rule::kCodeComments, comments, *limits.max_comment_share};
  const size_t bad_line = limits.drop_unbalanced ? first_unbalanced_line(a.text) : 0;
  if (bad_line > 0) return Violation{Rule::kCodeUnbalanced, static_cast<double>(bad_line), 0};
  return {};
}

}  // namespace athanor::clean
