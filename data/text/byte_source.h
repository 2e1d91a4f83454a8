// A stream of bytes read from a file or a pipe, decompressed on the way: plain, gzip (any number of members)
// or Zstandard (any number of frames). What a file is goes by its first bytes, not by its name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/file_system.h"

namespace athanor::text {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// Fills some of `out` (not empty) and returns how much; 0 at the end. Throws DataError when compressed
  /// data is damaged or ends early (naming the file and the byte reached), IoError when the disk fails.
  virtual size_t read(std::span<char> out) = 0;
};

/// Opens `path`. Errors: MissingInputError; DataError when the name says .gz or .zst and the content is
/// neither.
std::unique_ptr<ByteSource> open_byte_source(core::FileSystem& fs, const std::string& path);

/// Throws UsageError when `-`, which can be read only once, is there more than once.
void check_standard_input_is_given_once(std::span<const std::string> paths);

/// A source over bytes in memory, which must outlive it.
std::unique_ptr<ByteSource> make_memory_source(std::string_view bytes);

}  // namespace athanor::text
