// The BPE model of a tokenizer.json: from a piece of text to token ids. Within a piece the merge of lowest
// rank is done first, the leftmost among equal ones (Sennrich et al., 2016), until none applies.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/tokenizer/symbol_merger.h"
#include "data/tokenizer/tokenizer_file.h"
#include "data/tokenizer/word_cache.h"

namespace athanor::data::tokenizer {

inline constexpr uint32_t kNoToken = ~uint32_t{0};

/// Immutable, thread-safe.
class BpeModel {
 public:
  /// `takes_bytes`: pieces are raw bytes, to be read through the byte alphabet; otherwise they are UTF-8 and
  /// a symbol is a character. Throws DataError: not a BPE model, an option that is not supported (dropout,
  /// prefixes and suffixes of words), duplicate ids, an unknown token, a merge of or into a token that is not
  /// in the vocabulary.
  BpeModel(const TokenizerFile& file, bool takes_bytes);

  /// Appends the ids of `piece`, which is not empty. A symbol without a token becomes bytes (byte_fallback),
  /// else the unknown token, else nothing.
  void encode(std::string_view piece, WordCache& cache, std::vector<uint32_t>& ids) const;

  uint32_t token_to_id(std::string_view token) const;

 private:
  // The first and last symbol of a character; kNoToken where there is none.
  struct Edges {
    uint32_t first, last;
    bool is_fallback;  ///< they are bytes
  };

  void read_vocab(const TokenizerFile& file);
  void read_options(const JsonCursor& model);
  void read_merges(const TokenizerFile& file);
  void index_symbols();
  void note_junctions(const TokenizerFile& file);
  std::vector<uint32_t> edge_symbols(std::string_view token, bool at_end) const;

  void encode_characters(std::string_view piece, WordCache& cache, std::vector<uint32_t>& ids) const;
  void encode_word(std::string_view word, WordCache& cache, std::vector<uint32_t>& ids) const;
  void append_symbols(std::string_view word, std::vector<uint32_t>& ids) const;
  void append_character_symbols(std::string_view word, std::vector<uint32_t>& ids) const;
  Edges edges_of(std::string_view character) const;
  uint32_t character_id(uint32_t code_point) const;
  bool falls_back_to_bytes(std::string_view character) const;

  std::string name_;
  bool takes_bytes_;
  bool has_all_bytes_ = false;
  bool fuse_unknown_ = false, byte_fallback_ = false, ignore_merges_ = false;
  uint32_t unknown_id_ = kNoToken;
  std::unordered_map<std::string, uint32_t> id_of_token_;
  std::unordered_map<std::string, uint32_t>
      id_of_whole_word_;  ///< by raw piece, filled for ignore_merges only
  MergeMap merges_;
  FlatMap<char> junctions_;                        ///< pairs of symbols that a merge can join
  std::array<uint32_t, 256> id_of_byte_;           ///< of the symbol that stands for a byte
  std::array<uint32_t, 256> id_of_fallback_byte_;  ///< of the token "<0xNN>"
  std::vector<uint32_t> id_of_character_;          ///< by code point
};

}  // namespace athanor::data::tokenizer
