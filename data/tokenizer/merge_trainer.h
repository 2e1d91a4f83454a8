// Learns BPE merges from word counts: again and again the most frequent pair of neighbouring symbols becomes
// a new one (Sennrich et al., 2016).
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "data/tokenizer/word_counts.h"

namespace athanor::data::tokenizer {

struct MergeTrainerOptions {
  size_t vocab_size = 0;                      ///< stop at so many tokens
  std::vector<std::string> special_tokens{};  ///< take the first ids, in this order
  uint64_t min_frequency = 0;                 ///< a pair that is rarer makes no token; 0 and 1 mean the same
  size_t max_token_bytes = 0;                 ///< no token gets longer; 0: no limit
};

/// Tokens in the byte alphabet, by id, and merges in order of rank.
struct LearnedMerges {
  std::vector<std::string> tokens;
  std::vector<std::pair<std::string, std::string>> merges;
};

/// The special tokens come first, then the 256 byte symbols by code point, then what the merges make. Among
/// pairs of equal count the one with the smaller ids goes first, so the result depends on the counts only. It
/// equals that of Hugging Face tokenizers 0.23 (which, though, loses counts above 2^31, and takes its
/// max_token_length as exclusive).
///
/// Time is proportional to the bytes of the distinct words plus that of the changes; a word may have any
/// length. Throws DataError when the distinct words have 2^32 bytes or more.
LearnedMerges learn_merges(const WordCounts& counts, const MergeTrainerOptions& options);

}  // namespace athanor::data::tokenizer
