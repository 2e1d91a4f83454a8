#include "data/clean/unreadable_files.h"

#include <fmt/core.h>

namespace athanor::clean {
namespace {

// An array with an element per line has one line that reads as a record: the last, which no comma follows.
bool looks_like_array(const FileFacts& facts) {
  const std::string& text = facts.first_unreadable.text;
  const size_t begin = text.find_first_not_of(" \t");
  return facts.first_unreadable.key.record == 0 && begin != std::string::npos && text[begin] == '[' &&
         facts.records - facts.unreadable <= 1;
}

bool is_unreadable(const FileFacts& facts, text::FileFormat format) {
  if (facts.unreadable == 0 || format == text::FileFormat::kText) return false;
  const bool is_array =
      format == text::FileFormat::kJsonLines && facts.unreadable > 1 && looks_like_array(facts);
  return is_array || facts.unreadable == facts.records;
}

std::string advice(const FileFacts& facts, text::FileFormat format) {
  const std::string& reason = facts.first_unreadable.detail;
  if (reason.starts_with("longer than")) return "raise clean.max_line_bytes if it holds such records";
  if (format == text::FileFormat::kCsv)
    return "CSV is expected, with the columns of its first line in every record";
  if (looks_like_array(facts))
    return "JSON lines are expected and this looks like a JSON array: write one object per line (jq -c "
           "'.[]')";
  if (reason.starts_with("no text in the field"))
    return "set the input's text_fields to the fields that hold the text";
  return "JSON lines are expected, one object per line: correct the file, or the input's format";
}

}  // namespace

std::vector<std::string> find_unreadable_files(const Funnel& funnel, const std::vector<InputFile>& inputs) {
  std::vector<std::string> messages;
  for (size_t i = 0; i < funnel.file_facts.size() && i < inputs.size(); ++i) {
    const FileFacts& facts = funnel.file_facts[i];
    const text::FileFormat format = inputs[i].reader.format;
    if (!is_unreadable(facts, format)) continue;
    messages.push_back(fmt::format(
        "{0}: {1} of {2} {3} could not be read, the first at {0}:{4}: {5}; {6}", inputs[i].path,
        facts.unreadable, facts.records, format == text::FileFormat::kCsv ? "records" : "lines",
        facts.first_unreadable.line_number, facts.first_unreadable.detail, advice(facts, format)));
  }
  return messages;
}

}  // namespace athanor::clean
