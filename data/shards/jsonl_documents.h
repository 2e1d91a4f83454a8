// Documents as JSON lines: one object per line with the text under a given key (default `text`) and
// optionally `source`, `language` (strings) and `score` (a number).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/file_system.h"
#include "data/shards/shard_format.h"
#include "data/text/line_reader.h"

namespace athanor::data {

struct Document {
  std::string text;
  DocumentLabels labels;
  std::string where;  ///< path:line, for messages
};

/// Reads one file from front to back in bounded memory (its longest line, at most text::kMaxLineBytes).
class JsonlDocuments {
 public:
  /// Throws MissingInputError, DataError (named .gz or .zst and neither), IoError.
  JsonlDocuments(core::FileSystem& fs, std::string path, std::string text_key = "text");

  /// The next document; false at the end. Blank lines are passed over. Throws DataError with `path:line:` for
  /// a line that is not a JSON object in UTF-8, has no text or labels that a shard cannot hold, or is too
  /// long, and for damaged compressed data.
  bool next(Document& document);

 private:
  void parse(std::string_view bytes, uint64_t line_number, Document& document) const;

  std::string path_, text_key_;
  text::LineReader lines_;
};

}  // namespace athanor::data
