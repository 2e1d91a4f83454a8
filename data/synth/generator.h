// The sample corpus: document i is a pure function of (seed, dirt share, i).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "data/synth/grammar.h"
#include "data/synth/world.h"

namespace athanor::synth {

/// What is wrong with a document, as real data has it.
enum class Dirt : uint8_t {
  kNone,
  kExactDuplicate,
  kNearDuplicate,
  kAdvertisement,
  kAdvertisementLines,
  kMarkup,
  kMojibake,
  kPersonalData,
  kBrokenCode,
  kKeywordRepetition,
  kTruncatedLines,
};
inline constexpr int kNumDirts = 11;

/// "none", "exact_duplicate", "near_duplicate", "advertisement", ...
std::string_view dirt_name(Dirt dirt);

struct SynthDocument {
  std::string text;
  std::string_view kind;  ///< the grammar's root: "zh_story", "en_math", "python", ...
  Dirt dirt = Dirt::kNone;
};

class Generator {
 public:
  /// `dirt_share` of the documents are dirty, in equal parts of the ten kinds.
  Generator(uint64_t seed, double dirt_share);

  SynthDocument document(uint64_t index) const;

  /// The document before anything was done to it. For a duplicate: of the document that it repeats.
  SynthDocument clean_document(uint64_t index) const;

 private:
  Dirt dirt_of(uint64_t index) const;
  uint64_t original_of(uint64_t index) const;
  std::string_view kind_of(uint64_t index, Dirt dirt) const;
  std::string write(uint64_t index, std::string_view kind) const;
  Variables cast(Choices& choices, Tongue tongue) const;
  std::string soil(Dirt dirt, SynthDocument document, Choices& choices) const;

  Grammar grammar_;
  World world_;
  double dirt_share_;
  core::CounterRng plan_, text_, dirt_;
};

/// The kinds of documents in the corpus; the first ten are Chinese, the last two are code.
inline constexpr std::string_view kKinds[] = {
    "zh_story",  "zh_town",  "zh_person", "zh_dialogue", "zh_howto",  "zh_poem",     "zh_letter", "zh_cause",
    "zh_news",   "zh_math",  "en_story",  "en_town",     "en_person", "en_dialogue", "en_howto",  "en_poem",
    "en_letter", "en_cause", "en_news",   "en_math",     "python",    "cpp"};

}  // namespace athanor::synth
