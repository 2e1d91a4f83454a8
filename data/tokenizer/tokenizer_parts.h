// What a Tokenizer is made of; shared by its source files only.
#pragma once

#include "data/tokenizer/added_tokens.h"
#include "data/tokenizer/bpe_model.h"
#include "data/tokenizer/decoder.h"
#include "data/tokenizer/normalizer.h"
#include "data/tokenizer/post_processor.h"
#include "data/tokenizer/pre_tokenizer.h"
#include "data/tokenizer/tokenizer.h"
#include "data/tokenizer/tokenizer_file.h"
#include "data/tokenizer/word_cache.h"

namespace athanor::data::tokenizer {

struct Tokenizer::Parts {
  struct Token {
    bool exists = false;            ///< false: a hole among the ids
    std::string text = {};          ///< as in the file
    std::string decoder_text = {};  ///< what the decoder is given
    bool is_special = false;
    bool is_skipped = false;  ///< by decode(skip_special_tokens)
  };

  explicit Parts(TokenizerFile parsed);

  void encode(std::string_view text, WordCache& cache, std::vector<uint32_t>& ids) const;
  /// The text of an id as the decoder gets it; null for an id to leave out.
  const std::string* decoder_text(uint32_t id, bool skip_special_tokens) const;

  TokenizerFile file;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  BpeModel model;
  Decoder decoder;
  std::vector<AddedToken> added_tokens;
  std::vector<Token> tokens;  ///< by id
  PostProcessor post_processor;
  AddedTokenMatcher raw_matcher;         ///< in the text as given
  AddedTokenMatcher normalized_matcher;  ///< in the normalized text
  std::string digest;
  mutable WordCachePool caches;

 private:
  void collect_tokens();
  void build_matchers();
  void warn_about_ignored_settings() const;
  std::string compute_digest() const;
  void encode_segment(std::string_view text, bool is_text_start, WordCache& cache,
                      std::vector<uint32_t>& ids) const;
};

}  // namespace athanor::data::tokenizer
