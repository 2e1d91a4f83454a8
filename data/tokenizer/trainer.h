// Trains a byte-level BPE tokenizer on text files, in bounded memory and on all threads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/file_system.h"
#include "data/tokenizer/text_blocks.h"
#include "data/tokenizer/tokenizer.h"
#include "data/tokenizer/tokenizer_file.h"
#include "data/tokenizer/word_counts.h"

namespace athanor::data::tokenizer {

struct TrainerOptions {
  size_t vocab_size = 0;  ///< tokens in all: special ones, 256 bytes, merges
  TextFormat format = TextFormat::kByName;
  std::vector<std::string> patterns;     ///< Split rules, one after the other; see presets.h
  std::vector<AddedToken> added_tokens;  ///< take the first ids in this order; their `id` is not read
  std::string bos_token;                 ///< put before a text when special tokens are asked for; empty: none
  uint64_t min_frequency = 1;            ///< a pair of tokens that is rarer makes no new token
  size_t max_token_bytes = 0;            ///< no token gets longer; 0: no limit
  uint64_t memory_limit_bytes = uint64_t{4} << 30;  ///< beyond it rare words are cut up, then dropped
};

/// <｜begin▁of▁sentence｜>, <｜end▁of▁sentence｜>, <｜▁pad▁｜> (special), <｜User｜>, <｜Assistant｜>,
/// <think>, </think>.
std::vector<AddedToken> deepseek_added_tokens();

/// What training saw and did.
struct TrainingReport {
  uint64_t num_text_bytes = 0;
  uint64_t num_words = 0;           ///< occurrences
  uint64_t num_distinct_words = 0;  ///< when counting was done
  size_t vocab_size = 0;            ///< less than asked for when the text has no more pairs
  Reduction reduction;
};

struct TrainedTokenizer {
  Tokenizer tokenizer;
  TrainingReport report;
};

/// Throws UsageError that names --regex for a splitting rule of the command line that is no usable regular
/// expression.
void check_regexes(const std::vector<std::string>& regexes);

/// Trains on `paths` (see text_blocks.h). The result is the same for any number of threads.
/// Errors: UsageError for options that do not fit together, MissingInputError, DataError naming file and
/// line.
TrainedTokenizer train_tokenizer(const std::vector<std::string>& paths, const TrainerOptions& options,
                                 core::FileSystem& fs = core::posix_file_system());

}  // namespace athanor::data::tokenizer
