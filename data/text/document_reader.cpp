#include "data/text/document_reader.h"

#include <algorithm>
#include <optional>

#include "core/error.h"
#include "data/text/csv.h"
#include "data/text/encoding.h"
#include "data/text/line_reader.h"
#include "data/text/utf8.h"

namespace athanor::text {
namespace {

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r\f\v") == std::string_view::npos;
}

std::string_view without_compression_suffix(std::string_view path) {
  for (std::string_view suffix : {".gz", ".zst"})
    if (path.ends_with(suffix)) path.remove_suffix(suffix.size());
  return path;
}

LineReader open_lines(core::FileSystem& fs, const std::string& path, const ReaderOptions& options) {
  return {make_utf8_source(open_byte_source(fs, path), options.encoding, path), options.max_record_bytes};
}

}  // namespace

FileFormat format_of(std::string_view path) {
  const auto name = without_compression_suffix(path);
  if (name.ends_with(".jsonl") || name.ends_with(".ndjson") || name.ends_with(".json"))
    return FileFormat::kJsonLines;
  return name.ends_with(".csv") ? FileFormat::kCsv : FileFormat::kText;
}

struct DocumentReader::State {
  ReaderOptions options;
  std::optional<LineReader> lines;
  std::optional<CsvRecordReader> csv;
  std::vector<std::string> header;

  bool next_line(RawRecord& record) {
    Line line;
    while (lines->next(line)) {
      if (is_blank(line.bytes) && !line.is_overlong) continue;
      record.bytes.assign(line.bytes);
      record.line_number = line.number;
      record.is_overlong = line.is_overlong;
      return true;
    }
    return false;
  }

  // Lines up to a blank one, or all of them.
  bool next_block(RawRecord& record, bool ends_at_blank) {
    record = {};
    Line line;
    while (lines->next(line)) {
      const bool is_separator = is_blank(line.bytes) && !line.is_overlong;
      if (record.line_number == 0 && is_separator) continue;
      if (is_separator && ends_at_blank) return true;
      append(record, line);
    }
    return record.line_number != 0;
  }

  void append(RawRecord& record, const Line& line) const {
    if (record.line_number == 0) record.line_number = line.number;
    record.is_overlong |=
        line.is_overlong || record.bytes.size() + line.bytes.size() > options.max_record_bytes;
    if (record.is_overlong) return record.bytes.clear();
    if (!record.bytes.empty()) record.bytes.push_back('\n');
    record.bytes.append(line.bytes);
  }
};

DocumentReader::DocumentReader(core::FileSystem& fs, const std::string& path, const ReaderOptions& options)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.options = options;
  s.lines.emplace(open_lines(fs, path, options));
  if (options.format != FileFormat::kCsv) return;
  s.csv.emplace(std::move(*s.lines), options.max_record_bytes);
  RawRecord first;
  s.csv->next(first.bytes, first.line_number, first.is_overlong);
  repair_utf8(first.bytes);
  s.header = split_csv(first.bytes);
  for (const auto& name : options.text_fields)
    if (std::find(s.header.begin(), s.header.end(), name) == s.header.end())
      throw core::ConfigError(
          "{}:1: no column \"{}\" in the header \"{}\"; set text_fields to the columns to use", path, name,
          prefix(first.bytes, 200));
}

DocumentReader::~DocumentReader() = default;

bool DocumentReader::next(RawRecord& record) {
  State& s = *state_;
  if (s.csv) return s.csv->next(record.bytes, record.line_number, record.is_overlong);
  const bool is_text = s.options.format == FileFormat::kText;
  if (is_text && s.options.unit != TextUnit::kLine)
    return s.next_block(record, s.options.unit == TextUnit::kParagraph);
  return s.next_line(record);
}

const std::vector<std::string>& DocumentReader::header() const {
  return state_->header;
}

std::string RecordParser::parse(std::string& bytes, Document& document, size_t& num_replaced) {
  num_replaced = repair_utf8(bytes);
  if (options_.format == FileFormat::kJsonLines)
    return json_.parse(bytes, options_.text_fields, options_.keep_fields, document);
  if (options_.format == FileFormat::kCsv) return parse_csv(bytes, document);
  document.text.swap(bytes);
  document.source.clear();
  document.fields.clear();
  return "";
}

std::string RecordParser::parse_csv(std::string_view record, Document& document) {
  auto fields = split_csv(record);
  document = {};
  if (fields.size() != header_.size())
    return fmt::format("{} columns, the header has {}", fields.size(), header_.size());
  for (const auto& name : options_.text_fields) {
    const auto column = std::find(header_.begin(), header_.end(), name) - header_.begin();
    if (!document.text.empty()) document.text.push_back('\n');
    document.text.append(fields[static_cast<size_t>(column)]);
  }
  for (size_t i = 0; options_.keep_fields && i < fields.size(); ++i) {
    const auto is_this = [&](const std::string& name) { return name == header_[i]; };
    if (std::any_of(options_.text_fields.begin(), options_.text_fields.end(), is_this)) continue;
    if (header_[i] == "text" || header_[i] == "language" || header_[i] == "source") continue;
    if (!document.fields.empty()) document.fields.push_back(',');
    append_json_string(document.fields, header_[i]);
    document.fields.push_back(':');
    append_json_string(document.fields, fields[i]);
  }
  return "";
}

}  // namespace athanor::text
