// Appends to one 1-D dataset of an HDF5 file in bounded memory, keeping the digest of what was appended. For
// data/shards/*.cpp only; the caller holds lock_hdf5().
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/digest.h"
#include "data/shards/hdf5_handle.h"

namespace athanor::data {

class DatasetWriter {
 public:
  /// Elements of the HDF5 type `type` (little-endian, as stored); about `chunk_bytes` are kept in memory and
  /// written together. `file_path` is for messages.
  DatasetWriter(hid_t file, std::string file_path, std::string name, hid_t type, uint64_t chunk_bytes);

  /// Appends whole elements. Throws IoError when the disk does not take them.
  void append(std::span<const std::byte> elements);
  /// Writes what is still in memory. Nothing may be appended afterwards.
  void finish();

  uint64_t num_elements() const { return num_written_ + buffer_.size() / element_bytes_; }
  /// Digest of all bytes appended so far.
  std::string digest() const { return digest_.hex(); }

 private:
  void create(uint64_t chunk_elements);
  void flush();
  [[noreturn]] void fail() const;

  hid_t file_;
  std::string file_path_, name_;
  hid_t type_;
  uint64_t element_bytes_;
  size_t buffer_bytes_;
  std::vector<std::byte> buffer_;
  Hdf5Handle dataset_;
  uint64_t num_written_ = 0;
  core::Digest digest_;
};

}  // namespace athanor::data
