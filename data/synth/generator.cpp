#include "data/synth/generator.h"

#include <array>
#include <numeric>

#include "data/synth/dirt.h"
#include "data/synth/grammars.h"

namespace athanor::synth {
namespace {

constexpr std::array<std::string_view, kNumDirts> kDirtNames = {
    "none",     "exact_duplicate", "near_duplicate", "advertisement",      "advertisement_lines", "markup",
    "mojibake", "personal_data",   "broken_code",    "keyword_repetition", "truncated_lines"};

// Shares of documents, in the order of kKinds: Chinese text is 67 % of the bytes with these.
constexpr std::array<uint32_t, std::size(kKinds)> kWeights = {
    131, 113, 101, 89, 83, 54, 71, 77, 71, 65,  // Chinese
    40,  34,  30,  27, 25, 16, 22, 23, 22, 40,  // English
    30,  24};                                   // code
constexpr size_t kNumProse = 20, kNumChinese = 10;

constexpr uint64_t kMaxDistance = 20000;  ///< a duplicate repeats one of so many documents before it

size_t pick_weighted(size_t begin, size_t end, double uniform) {
  const uint32_t total = std::accumulate(kWeights.begin() + begin, kWeights.begin() + end, uint32_t{0});
  auto rest = static_cast<uint32_t>(uniform * total);
  for (size_t i = begin; i < end; ++i) {
    if (rest < kWeights[i]) return i;
    rest -= kWeights[i];
  }
  return end - 1;
}

bool is_chinese(std::string_view kind) {
  return kind.starts_with("zh_");
}
bool is_duplicate(Dirt dirt) {
  return dirt == Dirt::kExactDuplicate || dirt == Dirt::kNearDuplicate;
}

}  // namespace

std::string_view dirt_name(Dirt dirt) {
  return kDirtNames[static_cast<size_t>(dirt)];
}

Generator::Generator(uint64_t seed, double dirt_share)
    : grammar_({kChineseWords, kChineseTexts, kChineseMath, kEnglishWords, kEnglishTexts, kEnglishMath, kCode,
                kDirt}),
      world_(seed),
      dirt_share_(dirt_share),
      plan_(seed, "synth/plan"),
      text_(seed, "synth/text"),
      dirt_(seed, "synth/dirt") {}

SynthDocument Generator::document(uint64_t index) const {
  SynthDocument document = clean_document(index);
  if (document.dirt == Dirt::kNone) return document;
  Choices choices(dirt_, index);
  const Dirt dirt = document.dirt;
  document.text = soil(dirt, std::move(document), choices);
  document.dirt = dirt;
  return document;
}

SynthDocument Generator::clean_document(uint64_t index) const {
  const Dirt dirt = dirt_of(index);
  const uint64_t source = is_duplicate(dirt) ? original_of(index) : index;
  const std::string_view kind = kind_of(source, source == index ? dirt : Dirt::kNone);
  return {write(source, kind), kind, dirt};
}

// A duplicate needs a clean document before it; where none is found, it becomes an advertisement.
Dirt Generator::dirt_of(uint64_t index) const {
  if (plan_.uniform(index * 8) >= dirt_share_) return Dirt::kNone;
  const auto dirt = static_cast<Dirt>(1 + plan_.below(index * 8 + 1, kNumDirts - 1));
  return is_duplicate(dirt) && original_of(index) == index ? Dirt::kAdvertisement : dirt;
}

uint64_t Generator::original_of(uint64_t index) const {
  const uint64_t span = std::min(index, kMaxDistance);
  for (uint64_t attempt = 0; attempt < 4 && span > 0; ++attempt) {
    const uint64_t candidate = index - 1 - plan_.below(index * 8 + 2 + attempt, span);
    if (plan_.uniform(candidate * 8) >= dirt_share_) return candidate;
  }
  return index;
}

std::string_view Generator::kind_of(uint64_t index, Dirt dirt) const {
  const double uniform = plan_.uniform(index * 8 + 6);
  const bool needs_code = dirt == Dirt::kBrokenCode;
  const bool needs_prose = dirt != Dirt::kNone && !needs_code;
  return kKinds[pick_weighted(needs_code ? kNumProse : 0, needs_prose ? kNumProse : std::size(kKinds),
                              uniform)];
}

// Two towns and two people; the second ones differ from the first.
Variables Generator::cast(Choices& choices, Tongue tongue) const {
  Variables variables;
  const uint64_t town = choices.below(kNumTowns), person = choices.below(kNumPeople);
  world_.describe_town(town, tongue, "t_", variables);
  variables["u_town"] = world_.town_name((town + 1 + choices.below(kNumTowns - 1)) % kNumTowns, tongue);
  world_.describe_person(person, tongue, "p_", variables);
  world_.describe_person((person + 1 + choices.below(kNumPeople - 1)) % kNumPeople, tongue, "q_", variables);
  return variables;
}

std::string Generator::write(uint64_t index, std::string_view kind) const {
  Choices choices(text_, index);
  Variables variables = cast(choices, is_chinese(kind) ? Tongue::kChinese : Tongue::kEnglish);
  std::string text;
  text.reserve(2048);
  grammar_.expand(kind, choices, variables, text);
  return text;
}

std::string Generator::soil(Dirt dirt, SynthDocument document, Choices& choices) const {
  const bool chinese = is_chinese(document.kind);
  const auto advertise = [&](std::string_view symbol) {
    Variables variables = cast(choices, chinese ? Tongue::kChinese : Tongue::kEnglish);
    std::string text;
    grammar_.expand(symbol, choices, variables, text);
    return text;
  };
  switch (dirt) {
    case Dirt::kNone:
    case Dirt::kExactDuplicate:
      return document.text;
    case Dirt::kNearDuplicate:
      return edit_slightly(document.text, choices);
    case Dirt::kAdvertisement:
      return advertise(chinese ? "zh_advertisement" : "en_advertisement");
    case Dirt::kAdvertisementLines:
      return insert_lines(document.text, {advertise(chinese ? "zh_ad_line" : "en_ad_line")}, choices);
    case Dirt::kMarkup:
      return wrap_in_html(document.text, choices);
    case Dirt::kMojibake:
      return garble(document.text, choices);
    case Dirt::kPersonalData:
      return insert_lines(document.text, {personal_sentence(chinese, choices)}, choices);
    case Dirt::kBrokenCode:
      return break_code(document.text, choices);
    case Dirt::kKeywordRepetition:
      return repeat_keyword(document.text, choices);
    case Dirt::kTruncatedLines:
      return truncate_lines(document.text, choices);
  }
  return document.text;
}

}  // namespace athanor::synth
