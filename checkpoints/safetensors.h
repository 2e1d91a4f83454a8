// Reading and writing safetensors files.
//
// Reading checks the whole header before anything else is allocated (safetensors_header.h states the rules)
// and then reads ranges, or hands out views of the mapped file. Writing streams: the names, types and shapes
// come first, then the bytes in the same order; the file appears under its name only when it is whole and on
// disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoints/safetensors_header.h"
#include "checkpoints/tensor_info.h"
#include "core/file_system.h"
#include "core/output_files.h"

namespace athanor::checkpoints {

/// One open file. Thread-safe. Errors: MissingInputError (no such file), DataError (content), IoError (read
/// failed).
class SafetensorsFile {
 public:
  SafetensorsFile(core::FileSystem& fs, const std::string& path);
  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  const std::string& path() const { return path_; }
  /// In the order of their bytes.
  std::span<const SafetensorsEntry> tensors() const { return header_.tensors; }
  const SafetensorsMetadata& metadata() const { return header_.metadata; }
  /// Null when there is none of that name.
  const SafetensorsEntry* find(std::string_view name) const;
  /// DataError when there is none of that name.
  const SafetensorsEntry& at(std::string_view name) const;

  /// Fills `out` with the tensor's bytes from `offset` on (both in bytes).
  void read(const SafetensorsEntry& entry, uint64_t offset, std::span<std::byte> out) const;

  /// The tensor's bytes without a copy; valid as long as this object. Maps the file at the first call, so it
  /// needs a real file, which must not shrink while it is used.
  std::span<const std::byte> view(const SafetensorsEntry& entry) const;

 private:
  struct Mapping;
  const Mapping& mapping() const;

  std::string path_;
  std::unique_ptr<core::ReadableFile> file_;
  SafetensorsHeader header_;
  uint64_t data_offset_ = 0;
  std::vector<uint32_t> by_name_;  // indices of tensors, sorted by name
  mutable std::once_flag mapped_once_;
  mutable std::unique_ptr<Mapping> mapping_;
};

/// Streams one file: constructor, then `append` until every tensor is complete, then `finish`. Without
/// `finish` the temporary file is removed and `path` stays as it was. Errors: CannotWriteError, IoError.
class SafetensorsWriter {
 public:
  /// Tensors in the order in which their bytes will come. Names must be distinct.
  SafetensorsWriter(core::FileSystem& fs, std::string path, std::span<const TensorInfo> tensors,
                    const SafetensorsMetadata& metadata = {});
  ~SafetensorsWriter();
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  void append(std::span<const std::byte> bytes);
  /// Checks that all bytes came, syncs, renames, syncs the directory.
  void finish();

 private:
  void discard() noexcept;

  core::FileSystem& fs_;
  std::string path_;
  core::UnfinishedOutput unfinished_;
  std::unique_ptr<core::WritableFile> file_;
  uint64_t expected_bytes_ = 0;
  uint64_t appended_bytes_ = 0;
};

/// Writes tensors that are all in memory, in a fixed order (see precedes_in_file) whatever order they come
/// in.
void write_safetensors(core::FileSystem& fs, const std::string& path, std::vector<HostTensor> tensors,
                       const SafetensorsMetadata& metadata = {});

}  // namespace athanor::checkpoints
