#include "data/tokenizer/pre_tokenizer.h"

#include <functional>
#include <optional>
#include <utility>

#include "data/tokenizer/byte_alphabet.h"
#include "data/tokenizer/piece_scanner.h"
#include "data/tokenizer/unicode_class.h"
#include "data/tokenizer/utf8.h"

namespace athanor::data::tokenizer {
namespace {

enum class Behavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

Behavior read_behavior(const JsonCursor& json) {
  const std::string name = json.as_string();
  if (name == "Removed") return Behavior::kRemoved;
  if (name == "Isolated") return Behavior::kIsolated;
  if (name == "MergedWithPrevious") return Behavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return Behavior::kMergedWithNext;
  if (name == "Contiguous") return Behavior::kContiguous;
  json.fail("a behavior (Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous)");
}

// A stretch of a text that is a match or lies between matches.
struct Stretch {
  size_t begin, end;
  bool is_match;
};

std::vector<Stretch> stretches_of(const std::vector<Span>& matches, size_t text_size, bool invert) {
  std::vector<Stretch> stretches;
  size_t covered = 0;
  for (const Span& match : matches) {
    if (covered != match.begin) stretches.push_back({covered, match.begin, invert});
    stretches.push_back({match.begin, match.end, !invert});
    covered = match.end;
  }
  if (covered != text_size) stretches.push_back({covered, text_size, invert});
  return stretches;
}

std::vector<Stretch> merged_with_previous(const std::vector<Stretch>& stretches) {
  std::vector<Stretch> merged;
  bool was_match = false;
  for (const Stretch& s : stretches) {
    if (s.is_match && !was_match && !merged.empty())
      merged.back().end = s.end;
    else
      merged.push_back(s);
    was_match = s.is_match;
  }
  return merged;
}

std::vector<Stretch> merged_with_next(const std::vector<Stretch>& stretches) {
  std::vector<Stretch> merged;
  bool was_match = false;
  for (auto s = stretches.rbegin(); s != stretches.rend(); ++s) {
    if (s->is_match && !was_match && !merged.empty())
      merged.back().begin = s->begin;
    else
      merged.push_back(*s);
    was_match = s->is_match;
  }
  return {merged.rbegin(), merged.rend()};
}

std::vector<Stretch> contiguous(const std::vector<Stretch>& stretches) {
  std::vector<Stretch> merged;
  bool was_match = false;
  for (const Stretch& s : stretches) {
    if (s.is_match == was_match && !merged.empty())
      merged.back().end = s.end;
    else
      merged.push_back(s);
    was_match = s.is_match;
  }
  return merged;
}

std::vector<Stretch> removed(const std::vector<Stretch>& stretches) {
  std::vector<Stretch> kept;
  for (const Stretch& s : stretches)
    if (!s.is_match) kept.push_back(s);
  return kept;
}

std::vector<Stretch> arranged(std::vector<Stretch> stretches, Behavior behavior) {
  switch (behavior) {
    case Behavior::kRemoved:
      return removed(stretches);
    case Behavior::kMergedWithPrevious:
      return merged_with_previous(stretches);
    case Behavior::kMergedWithNext:
      return merged_with_next(stretches);
    case Behavior::kContiguous:
      return contiguous(stretches);
    case Behavior::kIsolated:
      break;
  }
  return stretches;
}

// Cuts every piece at the matches that `find` gives.
class SplitAtMatches : public SplitStep {
 public:
  using Find = std::function<std::vector<Span>(std::string_view)>;
  SplitAtMatches(Find find, Behavior behavior, bool invert)
      : find_(std::move(find)), behavior_(behavior), invert_(invert) {}

  void apply(Pieces& pieces, bool) const override {
    std::vector<std::string_view> parts;
    for (const auto piece : pieces.list)
      for (const Stretch& s : arranged(stretches_of(find_(piece), piece.size(), invert_), behavior_))
        if (s.begin != s.end) parts.push_back(piece.substr(s.begin, s.end - s.begin));
    pieces.list = std::move(parts);
  }

 private:
  Find find_;
  Behavior behavior_;
  bool invert_;
};

class SplitByScanner : public SplitStep {
 public:
  explicit SplitByScanner(ScannerKind kind) : kind_(kind) {}
  void apply(Pieces& pieces, bool) const override {
    std::vector<std::string_view> parts;
    for (const auto piece : pieces.list) scan_pieces(kind_, piece, parts);
    pieces.list = std::move(parts);
  }

 private:
  ScannerKind kind_;
};

class PrependSpace : public SplitStep {
 public:
  void apply(Pieces& pieces, bool) const override {
    for (auto& piece : pieces.list)
      if (piece.front() != ' ') piece = pieces.keep(" " + std::string(piece));
  }
};

class MapToByteSymbols : public SplitStep {
 public:
  void apply(Pieces& pieces, bool) const override {
    for (auto& piece : pieces.list) piece = pieces.keep(to_byte_symbols(piece));
  }
};

enum class PrependScheme { kAlways, kFirst, kNever };

class ReplaceSpaces : public SplitStep {
 public:
  ReplaceSpaces(std::string replacement, PrependScheme scheme)
      : replacement_(std::move(replacement)), scheme_(scheme) {}

  void apply(Pieces& pieces, bool is_text_start) const override {
    for (size_t i = 0; i < pieces.list.size(); ++i) {
      const bool may_prepend =
          scheme_ == PrependScheme::kAlways || (scheme_ == PrependScheme::kFirst && i == 0 && is_text_start);
      pieces.list[i] = pieces.keep(rewritten(pieces.list[i], may_prepend));
    }
  }

 private:
  std::string rewritten(std::string_view piece, bool may_prepend) const {
    std::string text;
    for (const char c : piece) c == ' ' ? text += replacement_ : text += c;
    const bool starts_so = text.compare(0, replacement_.size(), replacement_) == 0;
    return may_prepend && !starts_so ? replacement_ + text : text;
  }

  std::string replacement_;
  PrependScheme scheme_;
};

std::vector<Span> characters_with(ClassBits bits, std::string_view text) {
  const auto& classes = unicode_classes();
  std::vector<Span> spans;
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = decode_code_point(text.data() + at);
    const bool is_ascii_symbol = (bits & kPunctuation) && c.value < 0x80 && (classes[c.value] & kSymbol);
    if ((classes[c.value] & bits) || is_ascii_symbol) spans.push_back({at, at + c.num_bytes});
    at += c.num_bytes;
  }
  return spans;
}

auto find_characters(ClassBits bits) {
  return [bits](std::string_view text) { return characters_with(bits, text); };
}

// \w+|[^\w\s]+ with the \w of Unicode's Technical Standard 18, which has the joiners and no fractions.
Pattern words_or_symbols() {
  const std::string word =
      R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{200c}\x{200d}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189})";
  return Pattern::regex("[" + word + "]+|[^" + word + R"(\s]+)", "Whitespace");
}

PrependScheme read_prepend_scheme(const JsonCursor& json) {
  const auto scheme = json.optional_member("prepend_scheme");
  const std::string name = scheme ? scheme->as_string() : "always";
  const bool has_prefix = json.bool_member("add_prefix_space", true);
  if (!has_prefix && scheme && name != "never") scheme->fail("\"never\", as add_prefix_space is false");
  if (name == "never" || !has_prefix) return PrependScheme::kNever;
  if (name == "first") return PrependScheme::kFirst;
  if (name == "always") return PrependScheme::kAlways;
  scheme->fail("a prepend_scheme (always, first, never)");
}

}  // namespace

Pattern read_pattern(const JsonCursor& json) {
  if (const auto text = json.optional_member("String")) return Pattern::literal(text->as_string());
  if (const auto regex = json.optional_member("Regex"))
    return Pattern::regex(regex->as_string(), regex->where());
  json.fail("{\"String\": ...} or {\"Regex\": ...}");
}

// Collects steps; neighbouring Split rules that a scanner stands for become that scanner.
struct PreTokenizer::Builder {
  std::vector<std::shared_ptr<const SplitStep>> steps;
  std::vector<std::string> rules;  ///< trailing Split rules (Regex, Isolated) that may still become a scanner
  bool ends_with_byte_level = false;

  template <typename Step, typename... Args>
  void push(Args&&... args) {
    if (std::exchange(ends_with_byte_level, false)) steps.push_back(std::make_shared<MapToByteSymbols>());
    steps.push_back(std::make_shared<Step>(std::forward<Args>(args)...));
    rules.clear();
  }

  void add(const JsonCursor& json) {
    const std::string type = json.type();
    if (type == "Sequence") {
      for (const auto& step : json.member("pretokenizers").elements()) add(step);
    } else if (type == "Split") {
      add_split(json);
    } else if (type == "ByteLevel") {
      add_byte_level(json);
    } else if (type == "Metaspace") {
      add_metaspace(json);
    } else if (type == "Digits") {
      const bool individual = json.bool_member("individual_digits", false);
      push<SplitAtMatches>(find_characters(kNumber), individual ? Behavior::kIsolated : Behavior::kContiguous,
                           false);
    } else if (type == "Punctuation") {
      const auto behavior = json.optional_member("behavior");
      push<SplitAtMatches>(find_characters(kPunctuation),
                           behavior ? read_behavior(*behavior) : Behavior::kIsolated, false);
    } else if (type == "WhitespaceSplit") {
      push<SplitAtMatches>(find_characters(kWhitespace), Behavior::kRemoved, false);
    } else if (type == "Whitespace") {
      const Pattern words = words_or_symbols();
      push<SplitAtMatches>([words](std::string_view text) { return words.find_all(text); },
                           Behavior::kRemoved, true);
    } else {
      json.member("type").fail(
          "a pre-tokenizer (Sequence, Split, ByteLevel, Metaspace, Digits, Punctuation, Whitespace, "
          "WhitespaceSplit)");
    }
  }

  void add_split(const JsonCursor& json) {
    const auto pattern_json = json.member("pattern");
    const Pattern pattern = read_pattern(pattern_json);
    const Behavior behavior = read_behavior(json.member("behavior"));
    const bool invert = json.bool_member("invert", false);
    std::vector<std::string> rules_so_far = std::move(rules);
    push<SplitAtMatches>([pattern](std::string_view text) { return pattern.find_all(text); }, behavior,
                         invert);
    const auto regex = pattern_json.optional_member("Regex");
    if (!regex || behavior != Behavior::kIsolated || invert) return;
    rules = std::move(rules_so_far);
    rules.push_back(regex->as_string());
    use_scanner_for_rules();
  }

  void use_scanner_for_rules() {
    for (size_t skipped = 0; skipped < rules.size(); ++skipped) {
      const std::vector<std::string_view> tail(rules.begin() + static_cast<ptrdiff_t>(skipped), rules.end());
      const auto kind = scanner_for(tail);
      if (!kind) continue;
      steps.resize(steps.size() - tail.size());
      push<SplitByScanner>(*kind);
      return;
    }
  }

  void add_byte_level(const JsonCursor& json) {
    if (json.bool_member("add_prefix_space", true)) push<PrependSpace>();
    if (json.bool_member("use_regex", true)) push<SplitByScanner>(ScannerKind::kGpt2);
    if (std::exchange(ends_with_byte_level, true)) steps.push_back(std::make_shared<MapToByteSymbols>());
    rules.clear();
  }

  void add_metaspace(const JsonCursor& json) {
    std::string replacement;
    append_code_point(replacement, json.member("replacement").as_character());
    push<ReplaceSpaces>(replacement, read_prepend_scheme(json));
    if (!json.bool_member("split", true)) return;
    const Pattern pattern = Pattern::literal(replacement);
    push<SplitAtMatches>([pattern](std::string_view text) { return pattern.find_all(text); },
                         Behavior::kMergedWithNext, false);
  }
};

PreTokenizer::PreTokenizer(const JsonCursor& json) {
  Builder builder;
  builder.add(json);
  steps_ = std::move(builder.steps);
  gives_bytes_ = builder.ends_with_byte_level;
}

void PreTokenizer::split(std::string_view text, bool is_text_start, Pieces& pieces) const {
  pieces.list.clear();
  pieces.rewritten.clear();
  if (text.empty()) return;
  pieces.list.push_back(text);
  for (const auto& step : steps_) step->apply(pieces, is_text_start);
}

}  // namespace athanor::data::tokenizer
