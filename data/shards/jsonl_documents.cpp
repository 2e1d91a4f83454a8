#include "data/shards/jsonl_documents.h"

#include <cmath>

#include "core/error.h"
#include "core/json.h"

namespace athanor::data {
namespace {

using core::DataError;
using nlohmann::json;

std::string name_field(const json& object, const char* key, const std::string& where) {
  const auto field = object.find(key);
  if (field == object.end() || field->is_null()) return {};
  if (!field->is_string()) throw DataError("{}: `{}` is not a string", where, key);
  const auto& name = field->get_ref<const std::string&>();
  if (name.size() > kMaxLabelBytes)
    throw DataError("{}: `{}` has {} bytes, at most {} are kept; it has to be a category, not an address",
                    where, key, name.size(), kMaxLabelBytes);
  if (name.find('\0') != std::string::npos)
    throw DataError("{}: `{}` holds a NUL character, which no name in a shard can", where, key);
  return name;
}

float score_field(const json& object, const std::string& where) {
  const auto field = object.find("score");
  if (field == object.end() || field->is_null()) return std::numeric_limits<float>::quiet_NaN();
  if (!field->is_number()) throw DataError("{}: `score` is not a number", where);
  const float score = field->get<float>();
  if (!std::isfinite(score))
    throw DataError("{}: `score` is {}, beyond the range of a 32-bit float", where, field->dump());
  return score;
}

json parse_object(std::string_view line, const std::string& where) {
  try {
    json object = json::parse(line);
    if (object.is_object()) return object;
  } catch (const json::exception& error) {
    throw DataError("{}: not valid JSON: {}", where, core::json_problem(error));
  }
  throw DataError("{}: expected a JSON object, found another value", where);
}

std::string_view without_mark(const text::Line& line) {
  const bool has_mark = line.number == 1 && line.bytes.starts_with("\xef\xbb\xbf");
  return line.bytes.substr(has_mark ? 3 : 0);
}

bool is_blank(std::string_view bytes) {
  return bytes.find_first_not_of(" \t\r") == std::string_view::npos;
}

}  // namespace

JsonlDocuments::JsonlDocuments(core::FileSystem& fs, std::string path, std::string text_key)
    : path_(std::move(path)),
      text_key_(std::move(text_key)),
      lines_(text::open_byte_source(fs, path_), text::kMaxLineBytes) {}

bool JsonlDocuments::next(Document& document) {
  for (text::Line line; lines_.next(line);) {
    if (line.is_overlong)
      throw DataError("{}:{}: a line of more than {} bytes", path_, line.number, text::kMaxLineBytes);
    const std::string_view bytes = without_mark(line);
    if (is_blank(bytes)) continue;
    parse(bytes, line.number, document);
    return true;
  }
  return false;
}

void JsonlDocuments::parse(std::string_view bytes, uint64_t line_number, Document& document) const {
  document.where = fmt::format("{}:{}", path_, line_number);
  const std::string& where = document.where;
  json object = parse_object(bytes, where);
  const auto text = object.find(text_key_);
  if (text == object.end() || !text->is_string())
    throw DataError("{}: no string under `{}`; name the right key with --text-key", where, text_key_);
  document.text = std::move(text->get_ref<std::string&>());
  document.labels = {.source = name_field(object, "source", where),
                     .language = name_field(object, "language", where),
                     .score = score_field(object, where)};
}

}  // namespace athanor::data
