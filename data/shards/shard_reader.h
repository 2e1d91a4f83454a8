// Reads one token shard at any place. Opening checks the structure (names, types, sizes, first and last
// offset) but reads no tokens; `verify_shard` (shard_verify.h) checks all data.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/shards/file_pool.h"
#include "data/shards/hdf5_contents.h"
#include "data/shards/shard_format.h"

namespace athanor::data {

/// Tokens [first, last) of a shard.
struct TokenRange {
  uint64_t first = 0;
  uint64_t last = 0;
  uint64_t size() const { return last - first; }
};

/// Thread-safe. Every error names the file; a file that cannot be what it claims is a DataError.
class ShardReader {
 public:
  /// All shards of a list, in order. Throws MissingInputError, DataError, IoError. The pool outlives the
  /// readers.
  static std::vector<ShardReader> open_all(FilePool& pool, std::span<const std::string> paths);
  ShardReader(ShardReader&&) = default;
  ShardReader& operator=(ShardReader&&) = default;

  const std::string& path() const { return contents_.path; }
  uint64_t file_bytes() const { return contents_.file_bytes; }
  /// Where the HDF5 data ends; behind it lies what does not belong to the shard.
  uint64_t hdf5_bytes() const { return contents_.hdf5_bytes; }
  uint64_t num_tokens() const { return tokens_->num_elements; }
  uint64_t num_documents() const { return offsets_->num_elements - 1; }
  uint64_t token_bytes() const { return tokens_->element_bytes; }
  uint64_t vocabulary_size() const { return vocabulary_size_; }
  const std::string& tokenizer_digest() const { return tokenizer_digest_; }
  /// As stored in the file; what it promises is checked by verify_shard.
  const std::string& content_digest() const { return content_digest_; }

  /// Tokens from `first` on; the range must lie in the shard. Throws DataError for a token outside the
  /// vocabulary.
  void read_tokens(uint64_t first, std::span<uint32_t> out) const;
  /// Offsets from entry `first` on, each checked to lie in the shard and not to fall.
  void read_offsets(uint64_t first, std::span<uint64_t> out) const;
  /// Where document `index` lies.
  TokenRange document(uint64_t index) const;

  /// A dataset as stored, or null when it is not there.
  const DatasetLayout* layout(std::string_view dataset) const;
  /// Bytes of a dataset of this shard.
  void read(const DatasetLayout& layout, uint64_t first_element, std::span<std::byte> out) const;

 private:
  ShardReader(FilePool& pool, Hdf5Contents contents);
  const DatasetLayout* required(std::string_view dataset, ElementKind kind) const;
  void check_column(std::string_view dataset, ElementKind kind, uint64_t element_bytes) const;
  void check_names(std::string_view dataset) const;
  uint64_t number(std::string_view attribute) const;
  std::string text(std::string_view attribute) const;

  FilePool* pool_;
  Hdf5Contents contents_;
  const DatasetLayout* tokens_;  // into contents_, whose map nodes stay where they are when it is moved
  const DatasetLayout* offsets_;
  uint64_t vocabulary_size_ = 0;
  std::string tokenizer_digest_, content_digest_;
};

}  // namespace athanor::data
