// A value of a tokenizer.json together with its place, so that every error says
// `FILE: pre_tokenizer.pretokenizers[1].behavior: expected ..., found ...`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"

namespace athanor::data::tokenizer {

using Json = nlohmann::ordered_json;

/// A view; the document and the file name must outlive it.
class JsonCursor {
 public:
  JsonCursor(const Json& value, const std::string& file_name, std::string path = "")
      : value_(&value), file_name_(&file_name), path_(std::move(path)) {}

  const Json& json() const { return *value_; }
  bool is_null() const { return value_->is_null(); }
  /// `FILE: path`, the start of an error message.
  std::string where() const;
  /// Throws DataError "FILE: path: expected ..., found ...".
  [[noreturn]] void fail(std::string_view expected) const;

  /// A member that must be there / that may be missing or null.
  JsonCursor member(std::string_view key) const;
  std::optional<JsonCursor> optional_member(std::string_view key) const;
  /// The elements of an array.
  std::vector<JsonCursor> elements() const;
  /// The values of an object, with their keys.
  std::vector<std::pair<std::string, JsonCursor>> members() const;

  std::string as_string() const;
  bool as_bool() const;
  /// A whole number from 0 to `max`.
  uint64_t as_unsigned(uint64_t max) const;
  /// A string of exactly one character, as its code point.
  uint32_t as_character() const;

  bool bool_member(std::string_view key, bool value_if_missing) const;
  /// `type` of a component.
  std::string type() const { return member("type").as_string(); }

 private:
  const Json* value_;
  const std::string* file_name_;
  std::string path_;
};

}  // namespace athanor::data::tokenizer
