// The file tokenizer.json of Hugging Face tokenizers, read without trust and written back without loss.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/tokenizer/json_cursor.h"

namespace athanor::data::tokenizer {

/// One entry of `added_tokens`: a text that is cut out before the model sees the rest.
struct AddedToken {
  uint32_t id = 0;
  std::string content;
  bool single_word = false;  ///< only where no word character touches it
  bool lstrip = false;       ///< takes the whitespace on its left
  bool rstrip = false;       ///< takes the whitespace on its right
  bool normalized = false;   ///< looked for in the normalized text
  bool special = false;      ///< left out by decode(skip_special_tokens)
};

/// The parts of the file. The two large ones are taken out of the document, in the order of the file;
/// everything else, known or not, stays in it.
struct TokenizerFile {
  std::string name;  ///< for error messages
  Json document;
  std::vector<std::pair<std::string, uint32_t>> vocab;
  std::vector<std::pair<std::string, std::string>> merges;
  bool merges_are_strings = false;  ///< written as "a b", the form before tokenizers 0.20
};

/// Largest accepted file; the largest published ones have about 33 MB.
inline constexpr uint64_t kMaxTokenizerFileBytes = uint64_t{256} << 20;

/// Reads `text`. Memory is bounded by a small multiple of its size. Throws DataError: not JSON, nested deeper
/// than 64, more than 4,096 keys in one object (other than the vocabulary), a vocabulary or merges of the
/// wrong form.
TokenizerFile parse_tokenizer_file(std::string_view text, std::string name);

/// Keys in the order Hugging Face writes them, unknown ones after; vocabulary by id.
std::string serialize(const TokenizerFile& file);

/// `added_tokens`. Throws DataError.
std::vector<AddedToken> read_added_tokens(const JsonCursor& document);

Json to_json(const AddedToken& token);

}  // namespace athanor::data::tokenizer
