#include "data/clean/language.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <unordered_set>

#include "data/text/ascii.h"
#include "data/text/utf8.h"

namespace athanor::clean {
namespace {

constexpr std::array<std::string_view, kNumLanguages> kNames = {"zh",     "en",    "ja",   "ko",   "cyrillic",
                                                                "arabic", "latin", "code", "other"};

using HashSet = std::unordered_set<uint64_t>;

HashSet hash_all(std::initializer_list<std::string_view> words) {
  HashSet hashes;
  for (auto word : words) hashes.insert(hash_word(word));
  return hashes;
}

const HashSet& english_function_words() {
  static const HashSet words = hash_all(
      {"the",  "of",   "and", "to",   "that", "with", "for",   "this",  "it",    "you",  "not",  "have",
       "from", "are",  "by",  "his",  "her",  "they", "their", "which", "would", "been", "were", "there",
       "what", "when", "we",  "your", "who",  "will", "is",    "has",   "had",   "she",  "but",  "be"});
  return words;
}

const HashSet& other_function_words() {
  static const HashSet words =
      hash_all({"der", "die", "das", "und", "nicht", "den", "ist", "ein", "eine", "mit",   "le",
                "la",  "les", "des", "et",  "est",   "une", "que", "qui", "dans", "pour",  "el",
                "los", "las", "del", "una", "por",   "con", "di",  "che", "il",   "della", "per",
                "non", "em",  "uma", "não", "os",    "het", "een", "van", "niet"});
  return words;
}

Language latin_language(const Units& units) {
  size_t num_english = 0, num_other = 0, num_words = 0;
  for (const Unit& unit : units.all) {
    if (unit.kind != UnitKind::kWord) continue;
    ++num_words;
    num_english += english_function_words().count(unit.hash);
    num_other += other_function_words().count(unit.hash);
  }
  return num_english * 25 >= num_words && num_english > num_other ? Language::kEnglish : Language::kLatin;
}

// Common characters whose other form differs: the one at the same place in the other string.
constexpr std::u32string_view kSimplified =
    U"们这来个说时为过学国对开后没会见问间现还实让头长话经东书车马门给动进种两电当关点义从气听写买卖边远难"
    U"华业严乐习乡亲众优传伤伦侠债图团园观规认识语请读谁调谈论设访证评词译试诗该详误";
constexpr std::u32string_view kTraditional =
    U"們這來個說時為過學國對開後沒會見問間現還實讓頭長話經東書車馬門給動進種兩電當關點義從氣聽寫買賣邊遠難"
    U"華業嚴樂習鄉親眾優傳傷倫俠債圖團園觀規認識語請讀誰調談論設訪證評詞譯試詩該詳誤";
static_assert(kSimplified.size() == kTraditional.size());

constexpr std::array<std::string_view, 46> kLineStarts = {
    "def ",       "class ",   "import ",  "from ",   "return", "if (",      "if not ", "elif ",
    "else:",      "else {",   "for (",    "while (", "while ", "#include",  "#define", "#pragma",
    "using ",     "public:",  "private:", "const ",  "int ",   "void ",     "auto ",   "double ",
    "template",   "struct ",  "func ",    "let ",    "var ",   "function ", "}",       "{",
    "//",         "/*",       "* @",      "@",       "try:",   "except",    "catch",   "assert ",
    "namespace ", "package ", "raise ",   "print(",  "\"\"\"", "self."};

bool looks_like_statement(std::string_view line) {
  const auto starts = [&](std::string_view start) { return line.starts_with(start); };
  if (line.ends_with(';') || line.ends_with('{') || line.ends_with('}') || line.ends_with("):") ||
      line.ends_with("\\") || line.ends_with("])") || line.ends_with("()"))
    return true;
  if (line.starts_with("from ") && line.find(" import ") == std::string_view::npos) return false;
  if (std::any_of(kLineStarts.begin(), kLineStarts.end(), starts)) return !line.ends_with('.');
  const bool is_assignment =
      line.find(" = ") != std::string_view::npos || line.find(" += ") != std::string_view::npos;
  const bool has_no_prose =
      line.find(". ") == std::string_view::npos && !line.ends_with('.') && !line.ends_with("。");
  const bool is_header = line.ends_with(':') &&
                         (line.starts_with("if ") || line.starts_with("for ") || line.starts_with("with "));
  return (is_assignment && has_no_prose && static_cast<signed char>(line.front()) > 0 &&
          !text::is_ascii_digit(line.front())) ||
         is_header || line.find("->") != std::string_view::npos || line.find("::") != std::string_view::npos;
}

}  // namespace

std::string_view language_name(Language language) {
  return kNames[static_cast<size_t>(language)];
}

Language detect_language(const Units& units, double min_share) {
  const ScriptCounts& s = units.scripts;
  const bool is_japanese = s.kana * 10 >= s.han + s.kana && s.kana > 0;
  const std::array<uint64_t, 6> weights = {3 * (s.han + s.kana), 3 * s.hangul, s.latin,
                                           s.cyrillic,           s.arabic,     s.other};
  uint64_t total = 0;
  for (uint64_t weight : weights) total += weight;
  const auto main = static_cast<size_t>(std::max_element(weights.begin(), weights.end()) - weights.begin());
  if (total == 0 || static_cast<double>(weights[main]) < min_share * static_cast<double>(total))
    return Language::kOther;
  switch (main) {
    case 0:
      return is_japanese ? Language::kJapanese : Language::kChinese;
    case 1:
      return Language::kKorean;
    case 2:
      return latin_language(units);
    case 3:
      return Language::kCyrillic;
    case 4:
      return Language::kArabic;
    default:
      return Language::kOther;
  }
}

bool looks_like_code(std::string_view text, const Lines& lines) {
  if (text.starts_with("```") || text.find("\n```") != std::string_view::npos)
    return false;  // prose about code
  size_t num_statements = 0;
  for (const LineFacts& line : lines.all)
    num_statements += looks_like_statement(text.substr(line.begin_byte, line.end_byte - line.begin_byte));
  return num_statements >= 3 && num_statements * 2 > lines.all.size();
}

bool looks_like_math(std::string_view text, const Units& units) {
  size_t num_numbers = 0, num_operators = 0, num_equals = 0;
  for (const Unit& unit : units.all) {
    num_numbers += unit.kind == UnitKind::kNumber;
    if (unit.kind != UnitKind::kSymbol) continue;
    const auto symbol = text.substr(unit.begin_byte, 2);
    num_equals += symbol.front() == '=';
    num_operators += std::string_view("+-*/=<>").find(symbol.front()) != std::string_view::npos ||
                     symbol == "×" || symbol == "÷";
  }
  return num_equals >= 2 && (num_numbers + num_operators) * 10 >= units.all.size();
}

bool is_traditional_chinese(std::string_view text) {
  static const std::unordered_set<char32_t> simplified(kSimplified.begin(), kSimplified.end());
  static const std::unordered_set<char32_t> traditional(kTraditional.begin(), kTraditional.end());
  size_t num_simplified = 0, num_traditional = 0;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = text::decode(text.data(), at);
    num_simplified += simplified.count(c);
    num_traditional += traditional.count(c);
  }
  return num_traditional > num_simplified;
}

}  // namespace athanor::clean
