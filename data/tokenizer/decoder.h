// The `decoder` of a tokenizer.json: from token texts back to a text.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "data/tokenizer/json_cursor.h"

namespace athanor::data::tokenizer {

/// Sequence, ByteLevel, Replace, ByteFallback, Fuse, Strip and Metaspace. Immutable, thread-safe.
class Decoder {
 public:
  /// Joins tokens with a blank, as a tokenizer.json without decoder asks for.
  Decoder() = default;
  /// Throws DataError for an unknown type or wrong fields.
  explicit Decoder(const JsonCursor& json);

  /// True when the decoder is ByteLevel alone: a token's bytes then depend on the token only, see
  /// `token_bytes`.
  bool is_byte_level() const { return is_byte_level_; }
  /// The bytes that ByteLevel gives for one token.
  static std::string token_bytes(const std::string& token);

  /// Valid UTF-8: ill-formed bytes become U+FFFD.
  std::string decode(std::vector<std::string> tokens) const;

 private:
  using Step = std::function<std::vector<std::string>(std::vector<std::string>)>;
  void add(const JsonCursor& json);

  std::vector<Step> steps_;
  bool has_steps_ = false, is_byte_level_ = false;
};

}  // namespace athanor::data::tokenizer
