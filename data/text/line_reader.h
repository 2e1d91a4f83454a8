// Cuts a stream of bytes into lines, in bounded memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "data/text/byte_source.h"

namespace athanor::text {

/// Lines of documents, in every command that reads them: what docs/data_formats.md promises.
inline constexpr uint64_t kMaxLineBytes = uint64_t{256} << 20;

struct Line {
  std::string_view bytes;    ///< without the line end (LF or CRLF); valid until the next call
  uint64_t number = 0;       ///< from 1
  bool is_overlong = false;  ///< longer than the limit: `bytes` is empty and the line was skipped
};

class LineReader {
 public:
  /// Keeps at most `max_line_bytes` and one read-ahead buffer in memory.
  LineReader(std::unique_ptr<ByteSource> source, uint64_t max_line_bytes);

  /// False at the end of the stream. A last line without a line end counts as a line. Throws what the source
  /// throws; lines before the damage have then been delivered, the one it cuts has not.
  bool next(Line& line);

 private:
  bool refill();
  bool finish(Line& line, size_t length, size_t end_length);
  void skip_rest_of_line();

  std::unique_ptr<ByteSource> source_;
  uint64_t max_line_bytes_;
  std::string buffer_;
  size_t begin_ = 0, end_ = 0;
  uint64_t num_lines_ = 0;
  bool is_at_end_ = false;
};

}  // namespace athanor::text
