// Documents in, token shards out: what `athanor shards build` does.
//
// Documents are taken in the order of the inputs; each becomes [bos] tokens eos. A document goes to the
// validation set when the digest of its text falls into the given fraction, so that the choice depends
// neither on the order nor on the other documents, and equal texts stay on one side. Memory is bounded by a
// batch of texts and the writers' buffers. Nothing appears under its final name before everything is on disk.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/file_system.h"

namespace athanor::data {

/// Tokens of each text, without special tokens.
using Tokenize = std::function<std::vector<std::vector<uint32_t>>(std::span<const std::string>)>;

struct ShardBuildOptions {
  std::vector<std::string> inputs = {};  ///< JSON lines files
  std::string text_key = "text";
  std::string output = {};  ///< the shard; with a cap, the first of a row of numbered ones (`numbered_path`)
  uint64_t max_tokens_per_shard = 0;   ///< 0: one shard
  double validation_fraction = 0;      ///< of the documents, [0, 1)
  std::string validation_output = {};  ///< one shard; required with a fraction
  std::string tokenizer_digest = {};
  uint64_t vocabulary_size = 0;
  std::optional<uint32_t> bos_id = {};  ///< put before every document
  std::optional<uint32_t> eos_id = {};  ///< put after every document
  bool overwrite =
      false;  ///< replace numbered shards of an earlier build from the first on, surplus ones too
};

struct ShardBuildSummary {
  struct File {
    std::string path;
    uint64_t num_documents = 0;
    uint64_t num_tokens = 0;
    bool is_validation = false;
  };
  std::vector<File> files;
  uint64_t num_documents = 0;        ///< written
  uint64_t num_empty_documents = 0;  ///< left out: no text
  uint64_t num_text_bytes = 0;
  uint64_t num_tokens = 0;
};

/// Throws UsageError (options that do not fit together), MissingInputError, DataError (a bad line, no
/// documents at all), CannotWriteError (numbered shards are there already), IoError.
ShardBuildSummary build_shards(core::FileSystem& fs, const ShardBuildOptions& options,
                               const Tokenize& tokenize);

/// `path` with the number of its shard replaced by `number` (same width at least). Only three or more digits
/// right before the suffix are such a number; another name gets one: numbered_path("a/train-00000.h5", 12) ==
/// "a/train-00012.h5", numbered_path("t1-v2.h5", 12) == "t1-v2-00012.h5".
std::string numbered_path(const std::string& path, uint64_t number);

/// The number of the shard `path`, at which a row that begins with it starts; 0 when its name has none.
uint64_t shard_number(const std::string& path);

}  // namespace athanor::data
