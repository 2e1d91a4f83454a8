#include "data/text/csv.h"

#include <algorithm>

namespace athanor::text {
namespace {

// Takes one field from the front of `rest`, with the comma behind it.
std::string take_field(std::string_view& rest) {
  std::string field;
  bool is_quoted = false;
  size_t at = 0;
  for (; at < rest.size() && (is_quoted || rest[at] != ','); ++at) {
    const bool is_doubled = is_quoted && rest[at] == '"' && at + 1 < rest.size() && rest[at + 1] == '"';
    if (rest[at] != '"' || is_doubled) {
      field.push_back(rest[at]);
      at += is_doubled ? 1 : 0;
    } else {
      is_quoted = !is_quoted;
    }
  }
  rest.remove_prefix(std::min(at, rest.size()));
  return field;
}

}  // namespace

std::vector<std::string> split_csv(std::string_view record) {
  std::vector<std::string> fields = {take_field(record)};
  while (!record.empty()) {
    record.remove_prefix(1);
    fields.push_back(take_field(record));
  }
  return fields;
}

bool CsvRecordReader::next(std::string& record, uint64_t& line_number, bool& is_overlong) {
  record.clear();
  is_overlong = false;
  bool is_open = false;
  Line line;
  for (bool is_first = true; lines_.next(line); is_first = false) {
    if (is_first) line_number = line.number;
    is_overlong |= line.is_overlong || record.size() + line.bytes.size() > max_bytes_;
    if (is_overlong) return record.clear(), true;
    if (!is_first) record.push_back('\n');
    record.append(line.bytes);
    is_open ^= std::count(line.bytes.begin(), line.bytes.end(), '"') % 2 != 0;
    if (!is_open) return true;
  }
  return !record.empty();
}

}  // namespace athanor::text
