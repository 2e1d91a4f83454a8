// JSON from files that nobody vouches for: size and depth are limited, duplicate keys, NUL bytes and byte
// order marks are refused, and every complaint names the file and the place.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace athanor::checkpoints {

struct JsonLimits {
  uint64_t max_bytes = uint64_t{512} << 20;
  int max_depth = 16;
};

/// Parses one JSON object (with nothing but white space after it). Throws DataError that names `origin`.
nlohmann::json parse_json_object(std::string_view text, const std::string& origin,
                                 const JsonLimits& limits = {});

/// What must hold before any parser looks: size, first byte `{`, no NUL. Throws DataError.
void check_json_text(std::string_view text, const std::string& origin, uint64_t max_bytes);

/// A name from a file, for a message: in quotes, control characters escaped, cut when long.
std::string printable(std::string_view name);

/// A value inside a parsed document, with the way to it for messages ("tensors[3].slices[0].end"). A child
/// refers to its parent, so a parent must outlive it. Every accessor throws DataError when the value is not
/// what is asked for.
class JsonView {
 public:
  JsonView(const nlohmann::json& root, std::string_view origin) : value_(&root), origin_(origin) {}

  JsonView at(std::string_view key) const;
  bool has(std::string_view key) const;
  /// Array access; `size` also checks that this is an array.
  uint64_t size() const;
  JsonView item(uint64_t index) const;

  std::string as_string() const;
  /// An integer in [0, 2^63).
  uint64_t as_unsigned() const;
  /// This value, which must be an object, as JSON text.
  std::string as_object_text() const;

  [[noreturn]] void fail(std::string_view expected) const;
  [[noreturn]] void fail_with(std::string_view complaint) const;

 private:
  JsonView(const nlohmann::json& value, const JsonView& parent, std::string_view key, uint64_t index)
      : value_(&value), origin_(parent.origin_), parent_(&parent), key_(key), index_(index) {}
  std::string way() const;

  const nlohmann::json* value_;
  std::string_view origin_;
  const JsonView* parent_ = nullptr;
  std::string_view key_;
  uint64_t index_ = 0;
};

}  // namespace athanor::checkpoints
