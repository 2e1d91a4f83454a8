#include "data/tokenizer/piece_scanner.h"

#include <algorithm>

#include "data/tokenizer/unicode_class.h"

namespace athanor::data::tokenizer {
namespace {

constexpr std::string_view kGpt2Rule =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt2RuleShort =
    R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4Rule =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Rule =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDeepseekDigits = R"(\p{N}{1,3})";
constexpr std::string_view kDeepseekCjkRuns = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+";
constexpr std::string_view kDeepseekWords =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// One character with its classes.
struct Character {
  uint32_t value;
  uint32_t num_bytes;
  ClassBits bits;
  bool is(ClassBits wanted) const { return (bits & wanted) != 0; }
};

constexpr Character kNoCharacter{0, 0, 0};

// A text that ends at `end`; every function takes and gives positions in it.
class Scanner {
 public:
  Scanner(std::string_view text, std::vector<std::string_view>& pieces)
      : end_(text.data() + text.size()), classes_(unicode_classes()), pieces_(pieces) {}

  Character at(const char* p) const {
    if (p == end_) return kNoCharacter;
    const CodePoint c = decode_code_point(p);
    return {c.value, c.num_bytes, classes_[c.value]};
  }

  const char* skip(const char* p, ClassBits wanted) const {
    for (Character c; p != end_ && (c = at(p)).is(wanted);) p += c.num_bytes;
    return p;
  }

  // At most `limit` characters.
  const char* skip(const char* p, ClassBits wanted, int limit) const {
    for (Character c; limit > 0 && p != end_ && (c = at(p)).is(wanted); --limit) p += c.num_bytes;
    return p;
  }

  const char* skip_not(const char* p, ClassBits unwanted) const {
    for (Character c; p != end_ && !(c = at(p)).is(unwanted);) p += c.num_bytes;
    return p;
  }

  // `\s*[\r\n]+|\s+(?!\S)|\s+` at a whitespace character, the first part only with `newlines_end_pieces`.
  const char* whitespace(const char* p, bool newlines_end_pieces) const {
    const char *run = p, *last = p, *after_newline = nullptr;
    for (Character c; run != end_ && (c = at(run)).is(kWhitespace);) {
      last = run;
      run += c.num_bytes;
      if (c.is(kNewline)) after_newline = run;
    }
    if (newlines_end_pieces && after_newline) return after_newline;
    return run == end_ || last == p ? run : last;
  }

  // `'s|'t|'re|'ve|'m|'ll|'d` behind an apostrophe; null when there is none. U+017F folds to s.
  const char* contraction(const char* p, bool fold_case) const {
    const auto lower = [&](const char* q) {
      if (q >= end_) return '\0';
      return fold_case && *q >= 'A' && *q <= 'Z' ? static_cast<char>(*q + 32) : *q;
    };
    const char first = lower(p + 1), second = lower(p + 2);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return p + 2;
    if (first == 'r' && second == 'e') return p + 3;
    if (first == 'v' && second == 'e') return p + 3;
    if (first == 'l' && second == 'l') return p + 3;
    if (fold_case && at(p + 1).value == 0x17F) return p + 3;
    return nullptr;
  }

  void emit(const char* begin, const char* piece_end) {
    pieces_.emplace_back(begin, static_cast<size_t>(piece_end - begin));
  }

  const char* end() const { return end_; }
  void set_end(const char* end) { end_ = end; }

 private:
  const char* end_;
  const UnicodeClassTable& classes_;
  std::vector<std::string_view>& pieces_;
};

const char* gpt2_piece(const Scanner& text, const char* p) {
  const Character c = text.at(p);
  if (c.value == '\'')
    if (const char* piece_end = text.contraction(p, false)) return piece_end;
  const char* body = c.value == ' ' && p + 1 != text.end() ? p + 1 : p;
  const Character first = text.at(body);
  if (first.is(kLetter)) return text.skip(body, kLetter);
  if (first.is(kNumber)) return text.skip(body, kNumber);
  if (!first.is(kWhitespace)) return text.skip_not(body, kWhitespace | kLetter | kNumber);
  return text.whitespace(p, false);
}

const char* gpt4_piece(const Scanner& text, const char* p, int max_digits) {
  const Character c = text.at(p);
  if (c.value == '\'')
    if (const char* piece_end = text.contraction(p, true)) return piece_end;
  if (c.is(kLetter)) return text.skip(p + c.num_bytes, kLetter);
  if (c.is(kNumber)) return text.skip(p, kNumber, max_digits);
  const Character next = text.at(p + c.num_bytes);
  if (next.is(kLetter) && !c.is(kNewline)) return text.skip(p + c.num_bytes, kLetter);
  const bool is_space_before_symbols = c.value == ' ' && next.num_bytes && !next.is(kWhitespace | kNumber);
  if (is_space_before_symbols || !c.is(kWhitespace))
    return text.skip(text.skip_not(p + c.num_bytes, kWhitespace | kLetter | kNumber), kNewline);
  return text.whitespace(p, true);
}

bool is_ascii_letter(uint32_t c) {
  return (c | 32) >= 'a' && (c | 32) <= 'z';
}

// Null: no alternative of the rule matches here.
const char* deepseek_piece(const Scanner& text, const char* p) {
  constexpr ClassBits kWord = kLetter | kMark, kMarks = kPunctuation | kSymbol;
  const Character c = text.at(p);
  if (c.is(kWord)) return text.skip(p + c.num_bytes, kWord);
  const Character next = text.at(p + c.num_bytes);
  if (c.is(kMarks)) {
    if (c.value < 0x80 && next.num_bytes && is_ascii_letter(next.value)) {
      do ++p;
      while (p != text.end() && is_ascii_letter(static_cast<unsigned char>(*p)));
      return p;
    }
    return text.skip(text.skip(p, kMarks), kNewline);
  }
  if (next.is(kWord) && !c.is(kNewline)) return text.skip(p + c.num_bytes, kWord);
  if (c.value == ' ' && next.is(kMarks)) return text.skip(text.skip(p + 1, kMarks), kNewline);
  if (c.is(kWhitespace)) return text.whitespace(p, true);
  return nullptr;
}

// The third rule on a segment that the first two have cut out; what no alternative matches stays one piece.
void scan_deepseek_segment(Scanner& text, const char* p) {
  const char* unmatched = p;
  while (p != text.end()) {
    const char* piece_end = deepseek_piece(text, p);
    if (!piece_end) {
      p += text.at(p).num_bytes;
      continue;
    }
    if (unmatched != p) text.emit(unmatched, p);
    text.emit(p, piece_end);
    p = unmatched = piece_end;
  }
  if (unmatched != p) text.emit(unmatched, p);
}

void scan_deepseek(Scanner& text, const char* p) {
  const char* const text_end = text.end();
  while (p != text_end) {
    const Character c = text.at(p);
    if (c.is(kNumber)) {
      const char* digits_end = text.skip(p, kNumber, 3);
      text.emit(p, digits_end);
      p = digits_end;
      continue;
    }
    const char* segment_end =
        c.is(kDeepseekCjk) ? text.skip(p, kDeepseekCjk) : text.skip_not(p, kNumber | kDeepseekCjk);
    text.set_end(segment_end);
    scan_deepseek_segment(text, p);
    text.set_end(text_end);
    p = segment_end;
  }
}

template <typename NextPiece>
void scan_all(Scanner& text, const char* p, NextPiece next_piece) {
  while (p != text.end()) {
    const char* piece_end = next_piece(text, p);
    text.emit(p, piece_end);
    p = piece_end;
  }
}

}  // namespace

std::optional<ScannerKind> scanner_for(const std::vector<std::string_view>& patterns) {
  for (const auto kind :
       {ScannerKind::kGpt2, ScannerKind::kGpt4, ScannerKind::kQwen2, ScannerKind::kDeepseek3})
    if (patterns == patterns_of(kind)) return kind;
  if (patterns.size() == 1 && patterns[0] == kGpt2RuleShort) return ScannerKind::kGpt2;
  return std::nullopt;
}

std::vector<std::string_view> patterns_of(ScannerKind kind) {
  switch (kind) {
    case ScannerKind::kGpt2:
      return {kGpt2Rule};
    case ScannerKind::kGpt4:
      return {kGpt4Rule};
    case ScannerKind::kQwen2:
      return {kQwen2Rule};
    case ScannerKind::kDeepseek3:
      return {kDeepseekDigits, kDeepseekCjkRuns, kDeepseekWords};
  }
  return {};
}

void scan_pieces(ScannerKind kind, std::string_view text, std::vector<std::string_view>& pieces) {
  Scanner scanner(text, pieces);
  switch (kind) {
    case ScannerKind::kGpt2:
      return scan_all(scanner, text.data(), gpt2_piece);
    case ScannerKind::kDeepseek3:
      return scan_deepseek(scanner, text.data());
    case ScannerKind::kGpt4:
    case ScannerKind::kQwen2: {
      const int max_digits = kind == ScannerKind::kGpt4 ? 3 : 1;
      return scan_all(scanner, text.data(),
                      [&](const Scanner& s, const char* p) { return gpt4_piece(s, p, max_digits); });
    }
  }
}

}  // namespace athanor::data::tokenizer
