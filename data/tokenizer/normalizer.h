// The `normalizer` of a tokenizer.json: rewrites a text before it is split.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "data/tokenizer/json_cursor.h"

namespace athanor::data::tokenizer {

/// Sequence, Prepend, Replace, NFC, NFD, NFKC, NFKD, Lowercase, Strip and ByteLevel. Immutable, thread-safe.
class Normalizer {
 public:
  /// Changes nothing.
  Normalizer() = default;
  /// Throws DataError for an unknown type or wrong fields.
  explicit Normalizer(const JsonCursor& json);

  bool is_identity() const { return steps_.empty(); }
  /// `text` must be valid UTF-8, and so is what comes out.
  std::string normalize(std::string text) const;

 private:
  using Step = std::function<std::string(std::string)>;
  void add(const JsonCursor& json);
  std::vector<Step> steps_;
};

}  // namespace athanor::data::tokenizer
