// Writes one token shard, document by document, in bounded memory.
//
// The file grows under a temporary name beside `path`. `finish` makes it complete and durable there;
// `publish` gives it its name, so that several shards can appear together once all are complete. A writer
// that is destroyed before `publish` removes its temporary file. The same documents give the same bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/file_system.h"
#include "data/shards/shard_format.h"

namespace athanor::data {

struct ShardWriterOptions {
  std::string tokenizer_digest = {};
  uint64_t vocabulary_size = 0;
};

class ShardWriter {
 public:
  /// Throws CannotWriteError when the temporary file cannot be created. The directory must exist.
  ShardWriter(core::FileSystem& fs, std::string path, const ShardWriterOptions& options);
  ~ShardWriter();
  ShardWriter(const ShardWriter&) = delete;
  ShardWriter& operator=(const ShardWriter&) = delete;

  /// Throws DataError when a token is outside the vocabulary, or there are more than 65,535 different sources
  /// or languages, or one is no name (see shard_format.h); IoError when the disk does not take it. After an
  /// error the writer can only be destroyed.
  void add_document(std::span<const uint32_t> tokens, const DocumentLabels& labels = {});

  /// Says what is wrong when `labels` has one more source or language than a shard can hold; else "".
  std::string find_label_excess(const DocumentLabels& labels) const;

  uint64_t num_tokens() const;
  uint64_t num_documents() const;
  const std::string& path() const;

  /// Requires at least one document. Throws IoError.
  void finish();
  /// Requires `finish`. Replaces a file of that name. Throws CannotWriteError, IoError.
  void publish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The digest stored with a shard: of one line `name:digest` per dataset that is there, in the order of
/// kShardDatasets.
class ContentDigest {
 public:
  void add(std::string_view dataset, std::string_view digest);
  std::string hex() const;

 private:
  std::string text_;
};

}  // namespace athanor::data
