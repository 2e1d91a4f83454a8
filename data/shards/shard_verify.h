// Checks all data of a shard, and tells what is in it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/shards/shard_reader.h"

namespace athanor::data {

/// Reads all data of the shard: offsets never fall, every token is in the vocabulary, every name index has a
/// name, the content has the digest that is stored, and nothing follows the HDF5 data. Throws DataError at
/// the first violation.
void verify_shard(const ShardReader& shard);

/// A value of a per-document column and how often it occurs.
struct LabelCount {
  std::string name;
  uint64_t num_documents = 0;
  uint64_t num_tokens = 0;
};

struct ShardStat {
  std::string path;
  uint64_t file_bytes = 0;
  uint64_t num_tokens = 0;
  uint64_t num_documents = 0;
  uint64_t token_bytes = 0;
  uint64_t vocabulary_size = 0;
  std::string tokenizer_digest, content_digest;
  uint64_t shortest_document = 0, median_document = 0, longest_document = 0;  ///< tokens
  std::vector<LabelCount> sources, languages;  ///< empty: the shard has no such column
  uint64_t num_scored = 0;                     ///< documents with a score
  double mean_score = 0;
};

/// Reads offsets and columns, not tokens. Throws DataError.
ShardStat shard_stat(const ShardReader& shard);

}  // namespace athanor::data
