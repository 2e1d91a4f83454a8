// Comma-separated values as in RFC 4180, from lines: quoted fields may hold commas, doubled quotes and line
// ends.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/text/line_reader.h"

namespace athanor::text {

/// Splits one whole record into its fields, unquoted.
std::vector<std::string> split_csv(std::string_view record);

/// Reads the lines of one record into `record` (a record ends with the line in which all quotes are closed).
/// False at the end. `is_overlong` reports one beyond `max_bytes`, which is skipped; `line_number` is where
/// it began.
class CsvRecordReader {
 public:
  CsvRecordReader(LineReader lines, uint64_t max_bytes) : lines_(std::move(lines)), max_bytes_(max_bytes) {}
  bool next(std::string& record, uint64_t& line_number, bool& is_overlong);

 private:
  LineReader lines_;
  uint64_t max_bytes_;
};

}  // namespace athanor::text
