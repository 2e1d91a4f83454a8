// Reads the records of one file, one at a time, in bounded memory: JSON lines, text or CSV, plain or
// compressed, in any encoding. Records are handed out raw, so that parsing them can be spread over threads:
// `RecordParser` does that.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/file_system.h"
#include "data/text/json_record.h"

namespace athanor::text {

enum class FileFormat { kJsonLines, kText, kCsv };
enum class TextUnit { kFile, kLine, kParagraph };  ///< what one document of a text file is

struct ReaderOptions {
  FileFormat format = FileFormat::kJsonLines;
  TextUnit unit = TextUnit::kFile;
  std::string encoding = "auto";
  std::vector<std::string> text_fields = {"text"};
  uint64_t max_record_bytes = uint64_t{100} << 20;
  bool keep_fields = true;
};

/// The format that a file's name suggests, compression suffix aside: .jsonl, .ndjson, .json; .csv; else text.
FileFormat format_of(std::string_view path);

struct RawRecord {
  std::string bytes;         ///< UTF-8, perhaps ill-formed
  uint64_t line_number = 0;  ///< where it begins, from 1
  bool is_overlong = false;  ///< beyond the limit: `bytes` is empty
};

class DocumentReader {
 public:
  /// Errors: MissingInputError; DataError; ConfigError (no such column, unknown encoding).
  DocumentReader(core::FileSystem& fs, const std::string& path, const ReaderOptions& options);
  ~DocumentReader();

  /// False at the end. Blank lines and blank paragraphs are no records. Throws DataError where the file is
  /// damaged, with all records before the damage delivered.
  bool next(RawRecord& record);

  /// The column names of a CSV file; empty otherwise.
  const std::vector<std::string>& header() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Makes documents of records. One per thread.
class RecordParser {
 public:
  RecordParser(const ReaderOptions& options, std::vector<std::string> header)
      : options_(options), header_(std::move(header)) {}

  /// Repairs ill-formed UTF-8 (`num_replaced` sequences), then parses. Returns "" or why this is no document.
  std::string parse(std::string& bytes, Document& document, size_t& num_replaced);

 private:
  std::string parse_csv(std::string_view record, Document& document);
  ReaderOptions options_;
  std::vector<std::string> header_;
  JsonRecordParser json_;
};

}  // namespace athanor::text
