#include "data/clean/normalise.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uniset.h>

#include "core/error.h"
#include "data/text/ascii.h"
#include "data/text/utf8.h"

namespace athanor::clean {
namespace {

const icu::Normalizer2& normalizer(bool is_compatible) {
  UErrorCode status = U_ZERO_ERROR;
  const auto* instance =
      is_compatible ? icu::Normalizer2::getNFKCInstance(status) : icu::Normalizer2::getNFCInstance(status);
  ATHANOR_CHECK(U_SUCCESS(status), "ICU has no normalisation data: {}", u_errorName(status));
  return *instance;
}

// NFKC for all but the full-width punctuation and the ideographic marks, which Chinese text needs.
const icu::Normalizer2& nfkc_keeping_punctuation() {
  static const icu::UnicodeSet* covered = [] {
    UErrorCode status = U_ZERO_ERROR;
    auto* set =
        new icu::UnicodeSet(icu::UnicodeString::fromUTF8("[^[[:P:][:S:]]&[\\uFF01-\\uFF65…‥]]"), status);
    ATHANOR_CHECK(U_SUCCESS(status), "ICU set: {}", u_errorName(status));
    set->freeze();
    return set;
  }();
  static const icu::FilteredNormalizer2 filtered(normalizer(true), *covered);
  return filtered;
}

// ICU sorts the marks on one letter by insertion. Letters have a few; for the sake of texts that are nothing
// but marks, a piece that is normalised as a whole ends after this many characters that may combine.
constexpr size_t kMaxCombining = 128;

std::vector<std::string_view> cut_into_pieces(const icu::Normalizer2& form, std::string_view text) {
  std::vector<std::string_view> pieces;
  size_t begin = 0, num_combining = 0;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = text::decode(text.data(), at);
    const bool combines = c >= 0x300 && !form.hasBoundaryBefore(static_cast<UChar32>(c));
    num_combining = combines ? num_combining + 1 : 0;
    if (num_combining < kMaxCombining) continue;
    pieces.push_back(text.substr(begin, at - begin));
    begin = at;
    num_combining = 0;
  }
  pieces.push_back(text.substr(begin));
  return pieces;
}

void apply_form(const std::string& form, std::string& text) {
  if (form == "none" || text::is_ascii(text)) return;
  const icu::Normalizer2& with = form == "nfkc" ? nfkc_keeping_punctuation() : normalizer(false);
  const auto pieces = cut_into_pieces(with, text);
  UErrorCode status = U_ZERO_ERROR;
  const auto is_normal = [&](std::string_view piece) { return with.isNormalizedUTF8(piece, status); };
  if (std::all_of(pieces.begin(), pieces.end(), is_normal) && U_SUCCESS(status)) return;
  std::string result;
  result.reserve(text.size());
  icu::StringByteSink<std::string> sink(&result);
  status = U_ZERO_ERROR;
  for (const auto piece : pieces) with.normalizeUTF8(0, piece, sink, nullptr, status);
  ATHANOR_CHECK(U_SUCCESS(status), "ICU normalisation: {}", u_errorName(status));
  text.swap(result);
}

bool is_line_end(char32_t c) {
  return c == 0x85 || c == 0x2028 || c == 0x2029 || c == 0x0B || c == 0x0C;
}

bool is_odd_blank(char32_t c) {
  return c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool is_joiner(char32_t c) {
  return c == 0x200C || c == 0x200D;
}

bool is_invisible(char32_t c) {
  return c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0xAD || c == 0x200B || c == 0x200E || c == 0x200F ||
         (c >= 0x202A && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF ||
         (c >= 0xFFF9 && c <= 0xFFFB) || (c >= 0xFDD0 && c <= 0xFDEF) || (c & 0xFFFE) == 0xFFFE;
}

bool is_full_width(char32_t c) {
  return c >= 0xFF01 && c <= 0xFF5E;
}

// Bytes that a plain copy may take over: everything but control characters and the leads of the characters
// above (C2, E1, E2, E3 80, EF and the planes beyond the first, for their noncharacters).
constexpr auto kIsPlain = [] {
  std::array<bool, 256> plain{};
  for (size_t byte = 0x20; byte < 256; ++byte)
    plain[byte] = byte != 0x7F && byte != 0xC2 && byte != 0xE1 && byte != 0xE2 && byte != 0xE3 &&
                  byte != 0xEF && byte < 0xF0;
  return plain;
}();

// Copies a text character by character, dropping or replacing what is not wanted.
class Rewriter {
 public:
  Rewriter(const configs::CleanNormalise& options, std::string_view in) : options_(options), in_(in) {
    out_.reserve(in.size());
  }

  std::string run() {
    while (at_ < in_.size()) {
      const size_t begin = at_;
      while (at_ < in_.size() && kIsPlain[static_cast<uint8_t>(in_[at_])]) ++at_;
      out_.append(in_, begin, at_ - begin);
      if (at_ < in_.size()) take(text::decode(in_.data(), at_));
    }
    end_line();
    while (!out_.empty() && out_.back() == '\n') out_.pop_back();
    return std::move(out_);
  }

 private:
  void take(char32_t c) {
    if (c == '\n' || c == '\r' || is_line_end(c)) {
      if (c == '\r' && at_ < in_.size() && in_[at_] == '\n') ++at_;
      end_line();
      new_line();
    } else if (c == '\t') {
      out_.push_back('\t');
    } else if (is_odd_blank(c)) {
      out_.push_back(' ');
    } else if (options_.remove_control && (is_invisible(c) || (is_joiner(c) && !joins_letters()))) {
      return;
    } else if (is_full_width(c) && becomes_ascii(c - 0xFEE0)) {
      out_.push_back(static_cast<char>(c - 0xFEE0));
    } else {
      text::append_utf8(out_, c);
    }
  }

  bool becomes_ascii(char32_t ascii) const {
    return options_.full_width == "all" ||
           (options_.full_width == "letters_and_digits" && text::is_ascii_letter_or_digit(ascii));
  }

  // Joiners shape Indic and Persian letters and emoji; after ASCII or Chinese they are noise.
  bool joins_letters() const {
    if (out_.size() < 2 || static_cast<signed char>(out_.back()) >= 0) return false;
    const bool follows_chinese = out_.size() >= 3 && static_cast<uint8_t>(out_[out_.size() - 3]) >= 0xE3 &&
                                 static_cast<uint8_t>(out_[out_.size() - 3]) <= 0xE9;
    return !follows_chinese;
  }

  void end_line() {
    while (!out_.empty() && (out_.back() == ' ' || out_.back() == '\t')) out_.pop_back();
  }

  void new_line() {
    if (out_.size() != line_begin_) num_line_ends_ = 0;
    if (out_.empty() || num_line_ends_ > options_.max_blank_lines) return;
    out_.push_back('\n');
    ++num_line_ends_;
    line_begin_ = out_.size();
  }

  const configs::CleanNormalise& options_;
  std::string_view in_;
  std::string out_;
  size_t at_ = 0;
  size_t line_begin_ = 0;      ///< behind the last line end
  int64_t num_line_ends_ = 0;  ///< in a row before `line_begin_`
};

}  // namespace

bool normalise(const configs::CleanNormalise& options, std::string& text) {
  const std::string before = text;
  text = Rewriter(options, text).run();
  apply_form(options.form, text);
  return text != before;
}

}  // namespace athanor::clean
