// Reads text files for tokenizer training in blocks, in bounded memory: JSON lines ({"text": ...}) and plain
// text, plain or compressed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/file_system.h"
#include "data/text/byte_source.h"
#include "data/text/line_reader.h"

namespace athanor::data::tokenizer {

/// By name: `.jsonl`, `.ndjson` and `.json` are JSON lines, `.txt` is plain text; each also with .gz or .zst.
enum class TextFormat { kByName, kJsonLines, kPlain };

/// Whole lines of one file.
struct TextBlock {
  std::string path;
  uint64_t first_line = 1;  ///< the number of the first line in the file
  bool is_json_lines = false;
  std::string bytes;
};

/// Gives the blocks of some files, one file after the other. Where blocks end depends on the files only.
/// JSON lines are one text per line; plain text is one text, cut before lines that start with a visible
/// character (where the splitting rules of all presets cut too), or at any line where there is none for long.
class TextBlockReader {
 public:
  /// Throws DataError for a suffix that says nothing, MissingInputError for a missing file, before anything
  /// is read.
  TextBlockReader(core::FileSystem& fs, std::vector<std::string> paths,
                  TextFormat format = TextFormat::kByName, uint64_t max_line_bytes = text::kMaxLineBytes);

  /// False at the end. Throws DataError `FILE:LINE: ...` for a line of more than `max_line_bytes`, and where
  /// plain text is not UTF-8 (JSON lines are checked as they are parsed).
  bool next(TextBlock& block);

 private:
  void open_next_file();
  size_t find_block_end(bool is_json_lines);
  void check_is_text() const;
  void fill(size_t wanted_bytes);

  core::FileSystem& fs_;
  std::vector<std::string> paths_;
  TextFormat format_;
  uint64_t max_line_bytes_;
  size_t next_path_ = 0;
  std::unique_ptr<text::ByteSource> source_;  ///< none at the end of a file
  uint64_t next_line_ = 1;
  std::string rest_;  ///< read, not given yet
};

/// Calls visit(text) for every text of a block that `next` gave, in order; texts are valid UTF-8. Throws
/// DataError `FILE:LINE: ...` for a line that is not a JSON object with a string "text"; empty lines are
/// passed over.
void for_each_text(const TextBlock& block, const std::function<void(std::string_view)>& visit);

/// The string "text" of a JSON object on one line. `where` starts the message of the DataError.
std::string text_of_json_line(std::string_view line, const std::string& where);

}  // namespace athanor::data::tokenizer
