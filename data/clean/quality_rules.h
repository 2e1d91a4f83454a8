// The published rules for prose. Sources of the limits: Rae et al. 2021 (Gopher, table A1 and appendix A.1),
// Raffel et al. 2020 (C4), Penedo et al. 2024 (FineWeb), Penedo et al. 2025 (FineWeb-2, Mandarin), Chen et
// al. 2023 (EvalWeb).
//
// How quantities are counted. Words: units.h (symbols left out; 1.6 Chinese characters are a word). Mean word
// length: characters of words per word; in Chinese text 1.6 for pure Chinese. Alpha words: words with a
// letter among words and numbers. Lines: blank ones are left out, and white space around a line does not
// count. Shares of characters: of all code points of the text (n-grams) or of all lines (duplicate lines).
// N-grams run over words and symbols.
#pragma once

#include <string_view>
#include <unordered_set>

#include "configs/clean_config.h"
#include "data/clean/lines.h"
#include "data/clean/repetition.h"
#include "data/clean/rules.h"
#include "data/clean/units.h"

namespace athanor::clean {

/// One text, cut once; the memory is reused from text to text.
struct Analysis {
  std::string_view text;
  Units units;
  Lines lines;
  RepetitionScratch scratch;

  void analyse(std::string_view new_text);
};

/// One section of limits, with its stop words hashed.
class ProseRules {
 public:
  ProseRules(const configs::CleanRules& limits, bool is_chinese);

  /// The first rule broken, in the order of the funnel. `is_math`: numbers may fill the text (min_alpha_words
  /// is not applied).
  Verdict judge(Analysis& analysis, bool is_math) const;

 private:
  Verdict judge_gopher_quality(const Analysis& analysis, bool is_math) const;
  Verdict judge_gopher_repetition(Analysis& analysis) const;
  Verdict judge_fineweb(Analysis& analysis) const;
  Verdict judge_c4(const Analysis& analysis) const;
  Verdict judge_evalweb(Analysis& analysis) const;
  size_t count_stop_words(const Units& units) const;

  configs::CleanRules limits_;
  bool is_chinese_;
  std::unordered_set<uint64_t> stop_words_;
};

}  // namespace athanor::clean
