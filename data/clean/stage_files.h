// What one shard of the work leaves for the merge: cleaned documents, their signatures, its funnel.
//
// The signature file, little-endian: the header below; per document DocumentKey (u64 record, u32 file), u32
// language, two u64 of digest, the bands (u64 each), the sketch (one byte per hash, padded to 8); at the end
// the number of documents (u64) and the XXH3-128 digest of all bytes before it (32 hexadecimal characters). A
// file that is short, long, damaged or made by another configuration is refused.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/digest.h"
#include "core/file_system.h"
#include "data/clean/duplicates.h"
#include "data/clean/funnel.h"
#include "data/text/text_writer.h"

namespace athanor::clean {

/// One of `count` equal parts of the work.
struct Shard {
  int index = 0;
  int count = 1;
};

struct StagePaths {
  std::string texts, signatures, funnel;
};
StagePaths stage_paths(const std::string& directory, const Shard& shard);

/// Whether a file's name is one of `stage_paths`, or the temporary one of a process that was killed while
/// writing it, for any shard of `num_shards`; 0: of any number of shards.
bool is_stage_file(std::string_view name, int num_shards);

struct SignatureHeader {
  char magic[8] = {'A', 'T', 'H', 'S', 'I', 'G', '0', '1'};
  char config_digest[32] = {};
  uint32_t shard_index = 0, shard_count = 0;
  uint32_t num_bands = 0, num_hashes = 0;
};
static_assert(sizeof(SignatureHeader) == 56);

class SignatureWriter {
 public:
  SignatureWriter(core::FileSystem& fs, const std::string& path, const SignatureHeader& header);
  void append(const DocumentKey& key, const CleanedDocument& document);
  void commit();

 private:
  void put(const void* data, size_t size);
  text::TextWriter writer_;
  core::Digest digest_;
  uint64_t num_documents_ = 0;
};

struct SignatureColumns {
  std::vector<DocumentKey> keys;
  std::vector<uint8_t> languages;
  SignatureTable table;
};

/// Reads one file onto the end of `columns`. Errors: MissingInputError, DataError.
void read_signatures(core::FileSystem& fs, const std::string& path, const SignatureHeader& expected,
                     SignatureColumns& columns);

/// The same documents in the order of their keys.
SignatureColumns sorted_by_key(SignatureColumns columns);

}  // namespace athanor::clean
