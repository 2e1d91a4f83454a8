// From text to token ids and back: a tokenizer.json of Hugging Face tokenizers with a BPE model, giving the
// same ids, token for token, as tokenizers 0.23.
//
// A text passes through added tokens, normalizer, pre-tokenizer, BPE and post-processor; decoding goes
// through the decoder. Truncation and padding settings of the file are left aside, with a warning.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/file_system.h"

namespace athanor::data::tokenizer {

/// Immutable; copies share their content. Every const member may be called from several threads at once.
class Tokenizer {
 public:
  /// Errors: MissingInputError; DataError for anything in the file that is not understood, naming file and
  /// JSON path: no two tokens may have one id, at most 1,048,576 ids below the largest may have no token,
  /// merges must name tokens of the vocabulary.
  static Tokenizer from_file(const std::string& path, core::FileSystem& fs = core::posix_file_system());
  /// `name` stands for the file in errors.
  static Tokenizer from_json(std::string_view json, const std::string& name);

  /// Writes a tokenizer.json, atomically. Fields that have no meaning here are kept as they were read.
  void save(const std::string& path, core::FileSystem& fs = core::posix_file_system()) const;
  std::string to_json() const;

  /// The ids of `text`; with `add_special_tokens` also those that the post-processor puts around it.
  /// Ill-formed UTF-8 is read as U+FFFD, one for each maximal ill-formed part.
  std::vector<uint32_t> encode(std::string_view text, bool add_special_tokens = false) const;
  /// The same for many texts, on the threads of core::parallel_for.
  std::vector<std::vector<uint32_t>> encode_batch(std::span<const std::string> texts,
                                                  bool add_special_tokens = false) const;

  /// The text of `ids`, always valid UTF-8. Ids without a token (a model's vocabulary may be padded) give
  /// nothing.
  std::string decode(std::span<const uint32_t> ids, bool skip_special_tokens = false) const;

  /// The text that `ids` add behind `context`, where a rule for the start of a text does not apply (the
  /// decoders of Llama 2 leave out its first space). decode(context) and this together are the text of all
  /// ids, save where a character of fallback bytes is spread over both.
  std::string decode_continuation(std::span<const uint32_t> context, std::span<const uint32_t> ids,
                                  bool skip_special_tokens = false) const;

  /// Largest id + 1, added tokens included.
  uint32_t vocab_size() const;
  std::optional<uint32_t> token_to_id(std::string_view token) const;
  /// As written in the file: byte-level tokens in the byte alphabet. Nothing when there is no such id.
  std::optional<std::string> id_to_token(uint32_t id) const;
  bool is_special(uint32_t id) const;

  /// The token that begins / ends a text: the one the post-processor puts there, else one with a usual name.
  std::optional<uint32_t> bos_id() const;
  std::optional<uint32_t> eos_id() const;
  std::optional<uint32_t> pad_id() const;

  /// 32 hexadecimal digits that are equal for files that give equal ids and texts: of everything that matters
  /// to encoding and decoding, whatever the order of keys and the form of the merges.
  const std::string& digest() const;

 private:
  friend class IncrementalDecoder;
  struct Parts;
  explicit Tokenizer(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}

  std::shared_ptr<const Parts> parts_;
};

/// Turns ids into text as they arrive. What it gives is complete UTF-8: a character that is spread over
/// tokens comes with the last of them. All it gave and `finish()` together are the text that `decode` gives
/// for all ids; only a run of fallback bytes ("<0xNN>" tokens) that ends up ill-formed may differ, since text
/// cannot be taken back. With a context they are what `decode_continuation` gives.
class IncrementalDecoder {
 public:
  /// `context`: ids whose text is there already; what comes goes on from it.
  explicit IncrementalDecoder(Tokenizer tokenizer, bool skip_special_tokens = false,
                              std::span<const uint32_t> context = {});
  ~IncrementalDecoder();
  IncrementalDecoder(IncrementalDecoder&&) noexcept;
  IncrementalDecoder& operator=(IncrementalDecoder&&) noexcept;

  /// The text that `id` completes; often empty.
  std::string push(uint32_t id);
  /// What was held back, with U+FFFD for bytes that never became a character. Then starts anew, without
  /// context.
  std::string finish();

 private:
  std::string push_bytes(uint32_t id);
  std::string push_tokens(uint32_t id);
  std::string text_not_shown() const;

  Tokenizer tokenizer_;
  bool skip_special_tokens_;
  std::string pending_bytes_;  ///< byte-level decoders: the start of a character
  bool starts_in_context_ =
      false;                      ///< the first of them come from the context, whose text shows U+FFFD there
  std::vector<uint32_t> window_;  ///< other decoders: the last ids, decoded together
  size_t num_shown_ = 0;          ///< ids at the start of `window_` whose text was given, or is the context's
};

}  // namespace athanor::data::tokenizer
