#include "data/shards/jsonl_documents.h"

#include <algorithm>
#include <string_view>

#include <nlohmann/json.hpp>

#include "core/error.h"

namespace athanor::data {
namespace {

using core::DataError;
using nlohmann::json;

constexpr uint64_t kBlockBytes = uint64_t{1} << 20;

bool is_compressed(std::string_view start) {
  return start.starts_with("\x1f\x8b") || start.starts_with("\x28\xb5\x2f\xfd");
}

std::string text_field(const json& object, const char* key, const std::string& where) {
  const auto field = object.find(key);
  if (field == object.end() || field->is_null()) return {};
  if (!field->is_string()) throw DataError("{}: `{}` is not a string", where, key);
  return field->get<std::string>();
}

float score_field(const json& object, const std::string& where) {
  const auto field = object.find("score");
  if (field == object.end() || field->is_null()) return std::numeric_limits<float>::quiet_NaN();
  if (!field->is_number()) throw DataError("{}: `score` is not a number", where);
  return field->get<float>();
}

json parse_object(const std::string& line, const std::string& where) {
  try {
    json object = json::parse(line);
    if (object.is_object()) return object;
  } catch (const json::exception& error) {
    throw DataError("{}: not valid JSON ({})", where, error.what());
  }
  throw DataError("{}: expected a JSON object, found another value", where);
}

}  // namespace

JsonlDocuments::JsonlDocuments(core::FileSystem& fs, std::string path, std::string text_key)
    : path_(std::move(path)), text_key_(std::move(text_key)), file_(fs.open(path_)) {
  read_block();
  if (is_compressed(block_))
    throw DataError("{}: compressed; expand it first, or use the output of `athanor clean`", path_);
  if (std::string_view(block_).starts_with("\xef\xbb\xbf")) block_position_ = 3;
}

bool JsonlDocuments::next(Document& document) {
  do {
    if (!next_line(line_)) return false;
  } while (line_.find_first_not_of(" \t\r") == std::string::npos);
  const std::string where = fmt::format("{}:{}", path_, line_number_);
  json object = parse_object(line_, where);
  const auto text = object.find(text_key_);
  if (text == object.end() || !text->is_string())
    throw DataError("{}: no string under `{}`; name the right key with --text-key", where, text_key_);
  document.text = std::move(text->get_ref<std::string&>());
  document.labels = {.source = text_field(object, "source", where),
                     .language = text_field(object, "language", where),
                     .score = score_field(object, where)};
  return true;
}

bool JsonlDocuments::next_line(std::string& line) {
  line.clear();
  ++line_number_;
  for (;;) {
    const size_t end = block_.find('\n', block_position_);
    const size_t stop = end == std::string::npos ? block_.size() : end;
    if (line.size() + (stop - block_position_) > kMaxLineBytes)
      throw DataError("{}:{}: a line of more than {} bytes", path_, line_number_, kMaxLineBytes);
    line.append(block_, block_position_, stop - block_position_);
    block_position_ = stop + 1;
    if (end != std::string::npos) return true;
    if (!read_block()) return !line.empty();
  }
}

bool JsonlDocuments::read_block() {
  block_.resize(std::min(kBlockBytes, file_->size() - file_position_));
  block_position_ = 0;
  file_->read(file_position_, std::as_writable_bytes(std::span(block_.data(), block_.size())));
  file_position_ += block_.size();
  return !block_.empty();
}

}  // namespace athanor::data
