// Documents as JSON lines: one object per line with the text under a given key (default `text`) and
// optionally `source`, `language` (strings) and `score` (a number).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/file_system.h"
#include "data/shards/shard_format.h"

namespace athanor::data {

struct Document {
  std::string text;
  DocumentLabels labels;
};

/// Reads one file from front to back in bounded memory (its longest line, at most kMaxLineBytes).
class JsonlDocuments {
 public:
  static constexpr uint64_t kMaxLineBytes = uint64_t{256} << 20;

  /// Throws MissingInputError, IoError.
  JsonlDocuments(core::FileSystem& fs, std::string path, std::string text_key = "text");

  /// The next document; false at the end. Blank lines are passed over. Throws DataError with `path:line:` for
  /// a line that is not a JSON object in UTF-8, has no text, or is too long.
  bool next(Document& document);

 private:
  bool next_line(std::string& line);
  bool read_block();

  std::string path_, text_key_;
  std::unique_ptr<core::ReadableFile> file_;
  uint64_t file_position_ = 0;
  std::string block_, line_;
  size_t block_position_ = 0;
  uint64_t line_number_ = 0;
};

}  // namespace athanor::data
