// One document through all rules that look at it alone: edits first, then the verdict, then what
// deduplication needs.
#pragma once

#include <array>
#include <cstdint>

#include "configs/clean_config.h"
#include "data/clean/language.h"
#include "data/clean/minhash.h"
#include "data/clean/quality_rules.h"
#include "data/clean/rules.h"
#include "data/text/json_record.h"

namespace athanor::clean {

struct CleanedDocument {
  Verdict violation;  ///< empty: the document is kept
  Language language = Language::kOther;
  std::array<bool, kNumEdits> edits{};
  uint64_t bytes_before = 0, bytes_after = 0;  ///< of the text, around the edits
  std::array<uint64_t, 2> digest{};            ///< of the cleaned text; only when kept, as is the signature
  Signature signature;
};

class DocumentCleaner {
 public:
  struct Scratch {
    Analysis analysis;
    MinHasher::Scratch minhash;
    /// Gives back the memory that a very long document took.
    void shrink();
  };

  explicit DocumentCleaner(const configs::CleanConfig& config);

  /// Edits `document.text` and judges it. `num_replaced`: ill-formed sequences that reading replaced. A pure
  /// function of document and configuration; thread-safe with a scratch per thread.
  void clean(text::Document& document, size_t num_replaced, Scratch& scratch, CleanedDocument& result) const;

 private:
  void edit(std::string& text, CleanedDocument& result) const;
  void edit_prose(std::string& text, CleanedDocument& result) const;
  void mask(std::string& text, CleanedDocument& result) const;
  Verdict judge(Analysis& analysis, CleanedDocument& result) const;
  const ProseRules& rules_of(Language language) const;
  bool is_wanted(Language language) const;

  configs::CleanConfig config_;
  ProseRules english_, chinese_, other_;
  MinHasher min_hasher_;
};

}  // namespace athanor::clean
