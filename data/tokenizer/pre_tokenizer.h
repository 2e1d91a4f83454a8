// The `pre_tokenizer` of a tokenizer.json: cuts a text into pieces; merges never cross a piece's border.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/json_cursor.h"
#include "data/tokenizer/regex.h"

namespace athanor::data::tokenizer {

/// The pieces of a text. Each is a view into the text or into `rewritten`.
struct Pieces {
  std::vector<std::string_view> list;
  std::deque<std::string> rewritten;

  /// A view that lives as long as this object.
  std::string_view keep(std::string text) { return rewritten.emplace_back(std::move(text)); }
};

/// One rule: replaces the pieces by smaller or rewritten ones. `is_text_start`: the first piece starts where
/// the text that the user gave starts.
class SplitStep {
 public:
  virtual ~SplitStep() = default;
  virtual void apply(Pieces& pieces, bool is_text_start) const = 0;
};

/// Sequence, Split, ByteLevel, Metaspace, Digits, Whitespace, WhitespaceSplit and Punctuation. Immutable,
/// thread-safe.
class PreTokenizer {
 public:
  /// One piece: the whole text.
  PreTokenizer() = default;
  /// Throws DataError for an unknown type or wrong fields.
  explicit PreTokenizer(const JsonCursor& json);

  /// True when the last step is ByteLevel. Its mapping to the byte alphabet is then left to the model, and
  /// pieces are raw bytes.
  bool gives_bytes() const { return gives_bytes_; }

  /// Fills `pieces` with the parts of `text` (valid UTF-8), none of them empty. `text` must outlive `pieces`.
  void split(std::string_view text, bool is_text_start, Pieces& pieces) const;

 private:
  struct Builder;
  std::vector<std::shared_ptr<const SplitStep>> steps_;
  bool gives_bytes_ = false;
};

/// {"String": ...} or {"Regex": ...}.
Pattern read_pattern(const JsonCursor& json);

}  // namespace athanor::data::tokenizer
