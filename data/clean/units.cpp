#include "data/clean/units.h"

#include "core/error.h"
#include "data/text/character.h"
#include "data/text/utf8.h"

namespace athanor::clean {
namespace {

constexpr uint64_t kPrime = 0x9E3779B97F4A7C15;

uint64_t absorb(uint64_t hash, char32_t folded) {
  return (hash ^ folded) * kPrime + (hash >> 29);
}

uint64_t finish(uint64_t hash) {
  hash ^= hash >> 32;
  hash *= 0xD6E8FEB86659FD93;
  return hash ^ hash >> 29;
}

bool joins_words(char32_t c) {
  return c == '\'' || c == '-' || c == '_' || c == 0x2019;
}

// Walks over a text once, keeping the unit under construction.
class Cutter {
 public:
  Cutter(std::string_view text, Units& units) : text_(text), units_(units) {}

  void run() {
    for (size_t at = 0; at < text_.size();) {
      const size_t begin = at;
      const char32_t c = text::decode(text_.data(), at);
      take(c, begin, at);
      ++char_;
    }
    close();
    units_.num_chars = char_;
  }

 private:
  void take(char32_t c, size_t begin, size_t end) {
    const uint16_t klass = characters_.classify(c);
    if (klass & (text::kHan | text::kKana | text::kHangul)) {
      close();
      count_script(klass);
      open(UnitKind::kIdeograph, begin);
      extend(c);
      close();
    } else if (klass & text::kLetter) {
      count_script(klass);
      take_word_char(c, UnitKind::kWord, begin);
    } else if (klass & text::kDigit) {
      take_word_char(c, UnitKind::kNumber, begin);
    } else if (klass & text::kSpace) {
      ++units_.num_space_chars;
      close();
    } else if (klass & text::kPunctuation) {
      take_symbol(c, begin, end);
    }
  }

  void take_word_char(char32_t c, UnitKind kind, size_t begin) {
    if (!is_open_ || unit_.kind == UnitKind::kSymbol) {
      close();
      open(kind, begin);
    } else if (kind == UnitKind::kWord) {
      unit_.kind = kind;  // a letter makes a word of a number
    }
    extend(c);
  }

  void take_symbol(char32_t c, size_t begin, size_t end) {
    if (is_open_ && unit_.kind != UnitKind::kSymbol && joins_words(c) && is_word_char(end)) return extend(c);
    if (is_open_ && unit_.kind == UnitKind::kSymbol && symbol_ == c) {
      unit_.end_char = char_ + 1;
      return;
    }
    close();
    open(UnitKind::kSymbol, begin);
    symbol_ = c;
    extend(c);
  }

  bool is_word_char(size_t at) const {
    if (at >= text_.size()) return false;
    const uint16_t klass = characters_.classify(text::decode(text_.data(), at));
    return (klass & (text::kLetter | text::kDigit)) && !(klass & (text::kHan | text::kKana | text::kHangul));
  }

  void open(UnitKind kind, size_t begin) {
    is_open_ = true;
    unit_ = {.hash = kPrime,
             .begin_char = char_,
             .end_char = char_,
             .begin_byte = static_cast<uint32_t>(begin),
             .kind = kind};
  }
  void extend(char32_t c) {
    unit_.hash = absorb(unit_.hash, characters_.fold(c));
    unit_.end_char = char_ + 1;
  }
  void close() {
    if (!is_open_) return;
    is_open_ = false;
    unit_.hash = finish(unit_.hash);
    units_.all.push_back(unit_);
    ++units_.num_of_kind[static_cast<size_t>(unit_.kind)];
    units_.chars_of_kind[static_cast<size_t>(unit_.kind)] += unit_.end_char - unit_.begin_char;
  }

  void count_script(uint16_t klass) {
    ScriptCounts& s = units_.scripts;
    if (klass & text::kLatin)
      ++s.latin;
    else if (klass & text::kHan)
      ++s.han;
    else if (klass & text::kKana)
      ++s.kana;
    else if (klass & text::kHangul)
      ++s.hangul;
    else if (klass & text::kCyrillic)
      ++s.cyrillic;
    else if (klass & text::kArabic)
      ++s.arabic;
    else
      ++s.other;
  }

  const text::Characters characters_;
  std::string_view text_;
  Units& units_;
  Unit unit_{};
  char32_t symbol_ = 0;
  uint32_t char_ = 0;
  bool is_open_ = false;
};

}  // namespace

double Units::num_words() const {
  return num_alpha_words() + static_cast<double>(count(UnitKind::kNumber));
}

double Units::num_alpha_words() const {
  return static_cast<double>(count(UnitKind::kWord)) +
         static_cast<double>(count(UnitKind::kIdeograph)) / kHanPerWord;
}

uint64_t hash_word(std::string_view word) {
  const text::Characters characters;
  uint64_t hash = kPrime;
  for (size_t at = 0; at < word.size();) hash = absorb(hash, characters.fold(text::decode(word.data(), at)));
  return finish(hash);
}

void cut_into_units(std::string_view text, Units& units) {
  ATHANOR_CHECK(text.size() < (uint64_t{1} << 32), "a text of {} bytes is too long to analyse", text.size());
  auto reused = std::move(units.all);
  units = {};
  units.all = std::move(reused);
  units.all.clear();
  Cutter(text, units).run();
}

}  // namespace athanor::clean
