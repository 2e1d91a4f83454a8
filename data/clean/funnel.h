// What happened to how many documents and bytes, rule by rule, with examples. Sums of funnels do not depend
// on how the work was divided.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "data/clean/document_cleaner.h"
#include "data/clean/language.h"
#include "data/clean/rules.h"

namespace athanor::clean {

struct Tally {
  uint64_t documents = 0, bytes = 0;
  void add(uint64_t num_bytes) { ++documents, bytes += num_bytes; }
  void add(const Tally& other) { documents += other.documents, bytes += other.bytes; }
};

/// Where a document stands: files in input order, records in file order.
struct DocumentKey {
  uint32_t file = 0;
  uint64_t record = 0;
  auto operator<=>(const DocumentKey&) const = default;
};

struct Example {
  DocumentKey key;
  uint64_t line_number = 0;
  std::string detail;  ///< "0.31 > 0.2" or why a record could not be read
  std::string text;    ///< the beginning of the document
};

/// How much of one input file could be read.
struct FileFacts {
  uint64_t records = 0;
  uint64_t unreadable = 0;   ///< of these, invalid or too long
  Example first_unreadable;  ///< where there is one
  void add_unreadable(Example example);
  void add(const FileFacts& other);
};

struct Funnel {
  explicit Funnel(size_t num_examples = 0) : max_examples(num_examples) {}

  size_t max_examples;                       ///< the earliest ones of each rule are kept
  Tally read;                                ///< records; bytes of text, or of the record when it held none
  std::array<Tally, kNumRules> removed{};    ///< bytes after the edits (before them for the rules of reading)
  std::array<uint64_t, kNumEdits> edited{};  ///< documents that an edit changed
  int64_t bytes_edited_away = 0;             ///< may be negative: tags may be longer than what they mask
  std::array<Tally, kNumLanguages> judged{};  ///< documents whose language was found, after the edits
  std::array<Tally, kNumLanguages> kept{};
  std::array<std::vector<Example>, kNumRules> examples;
  std::vector<std::string> files;          ///< by DocumentKey::file
  std::vector<FileFacts> file_facts;       ///< of `files`
  std::vector<std::string> damaged_files;  ///< messages
  uint64_t num_clusters = 0;               ///< of near duplicates, and the size of the largest
  uint64_t largest_cluster = 0;
  double seconds = 0;  ///< that stage 1 took; of several shards the longest

  void count_removal(Rule rule, uint64_t num_bytes) { removed[static_cast<size_t>(rule)].add(num_bytes); }
  /// True when one more example of `rule` at `key` would be kept.
  bool wants_example(Rule rule, const DocumentKey& key) const;
  void add_example(Rule rule, Example example);
  void add(const Funnel& other);
  /// What is left after all removals.
  Tally left() const;
};

/// One object on one line, and back. `from_json` throws DataError, naming `path`, for anything that `to_json`
/// does not write.
std::string funnel_to_json(const Funnel& funnel);
Funnel funnel_from_json(const std::string& json, const std::string& path);

}  // namespace athanor::clean
