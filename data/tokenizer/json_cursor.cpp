#include "data/tokenizer/json_cursor.h"

#include "core/error.h"
#include "data/tokenizer/utf8.h"

namespace athanor::data::tokenizer {
namespace {

std::string shown(const Json& value) {
  return excerpt(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

std::string JsonCursor::where() const {
  return path_.empty() ? *file_name_ : fmt::format("{}: {}", *file_name_, path_);
}

void JsonCursor::fail(std::string_view expected) const {
  throw core::DataError("{}: expected {}, found {}", where(), expected, shown(*value_));
}

JsonCursor JsonCursor::member(std::string_view key) const {
  if (!value_->is_object()) fail("an object");
  const auto it = value_->find(std::string(key));
  if (it == value_->end()) fail(fmt::format("an object with the key \"{}\"", key));
  return {*it, *file_name_, path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key)};
}

std::optional<JsonCursor> JsonCursor::optional_member(std::string_view key) const {
  if (!value_->is_object()) fail("an object");
  const auto it = value_->find(std::string(key));
  if (it == value_->end() || it->is_null()) return std::nullopt;
  return member(key);
}

std::vector<JsonCursor> JsonCursor::elements() const {
  if (!value_->is_array()) fail("an array");
  std::vector<JsonCursor> cursors;
  for (size_t i = 0; i < value_->size(); ++i)
    cursors.emplace_back((*value_)[i], *file_name_, fmt::format("{}[{}]", path_, i));
  return cursors;
}

std::vector<std::pair<std::string, JsonCursor>> JsonCursor::members() const {
  if (!value_->is_object()) fail("an object");
  std::vector<std::pair<std::string, JsonCursor>> cursors;
  for (const auto& item : value_->items())
    cursors.emplace_back(item.key(),
                         JsonCursor(item.value(), *file_name_, fmt::format("{}.{}", path_, item.key())));
  return cursors;
}

std::string JsonCursor::as_string() const {
  if (!value_->is_string()) fail("a string");
  return value_->get<std::string>();
}

bool JsonCursor::as_bool() const {
  if (!value_->is_boolean()) fail("true or false");
  return value_->get<bool>();
}

uint64_t JsonCursor::as_unsigned(uint64_t max) const {
  if (!value_->is_number_unsigned() || value_->get<uint64_t>() > max)
    fail(fmt::format("a whole number from 0 to {}", max));
  return value_->get<uint64_t>();
}

uint32_t JsonCursor::as_character() const {
  const std::string text = as_string();
  if (text.empty() || decode_code_point(text.data()).num_bytes != text.size())
    fail("a string of one character");
  return decode_code_point(text.data()).value;
}

bool JsonCursor::bool_member(std::string_view key, bool value_if_missing) const {
  const auto found = optional_member(key);
  return found ? found->as_bool() : value_if_missing;
}

}  // namespace athanor::data::tokenizer
