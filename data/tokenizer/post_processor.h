// The `post_processor` of a tokenizer.json: puts special tokens around the ids of a text.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "data/tokenizer/json_cursor.h"

namespace athanor::data::tokenizer {

/// Sequence, ByteLevel (which only moves offsets, so nothing here) and TemplateProcessing. Immutable,
/// thread-safe.
class PostProcessor {
 public:
  /// Changes nothing.
  PostProcessor() = default;
  /// Throws DataError for an unknown type, wrong fields, or an id that is not below `num_ids`.
  PostProcessor(const JsonCursor& json, uint64_t num_ids);

  /// `ids` arranged by every template; without `add_special_tokens` templates leave their special tokens out.
  std::vector<uint32_t> process(std::vector<uint32_t> ids, bool add_special_tokens) const;

  /// The special token right before / after the text, if any.
  std::optional<uint32_t> id_before_text() const;
  std::optional<uint32_t> id_after_text() const;

 private:
  struct TemplatePart {
    bool is_text = false;
    std::vector<uint32_t> special_ids;
  };
  using Template = std::vector<TemplatePart>;
  void add(const JsonCursor& json, uint64_t num_ids);
  static Template read_template(const JsonCursor& json, uint64_t num_ids);

  std::vector<Template> templates_;
};

}  // namespace athanor::data::tokenizer
