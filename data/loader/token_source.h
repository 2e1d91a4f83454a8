// One source of the mixture: a list of shards seen as one long list of documents.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/shards/file_pool.h"
#include "data/shards/shard_reader.h"

namespace athanor::data {

/// Where a document of a source lies.
struct DocumentPlace {
  uint32_t shard_idx = 0;
  uint64_t first_token = 0;  ///< in the shard
  uint64_t num_tokens = 0;
};

/// Thread-safe. Keeps the offsets of up to kMaxDocumentsInMemory documents in memory and reads them from the
/// files beyond that; tokens are always read from the files.
class TokenSource {
 public:
  static constexpr uint64_t kMaxDocumentsInMemory = uint64_t{1} << 23;

  /// `patterns`: paths with `*` and `?`. Shards are taken in the order of the patterns, then of their names.
  /// Throws MissingInputError (a pattern that matches nothing), DataError (a bad shard, shards of different
  /// tokenizers, a shard listed twice), IoError. The pool outlives the source.
  TokenSource(FilePool& pool, std::span<const std::string> patterns);

  const std::vector<ShardReader>& shards() const { return shards_; }
  uint64_t num_tokens() const { return num_tokens_; }
  uint64_t num_documents() const { return first_document_.back(); }

  /// Requires index < num_documents(). Throws DataError, IoError.
  DocumentPlace document(uint64_t index) const;
  /// Lengths, in tokens, of the documents from `first` on. Throws DataError, IoError.
  void read_lengths(uint64_t first, std::span<uint64_t> out) const;

 private:
  void check_tokenizers() const;
  void load_offsets();
  size_t shard_of(uint64_t document) const;

  std::vector<ShardReader> shards_;
  std::vector<uint64_t> first_document_;        ///< [num_shards + 1]
  std::vector<std::vector<uint64_t>> offsets_;  ///< per shard; empty: read from the file
  uint64_t num_tokens_ = 0;
};

}  // namespace athanor::data
