// Open files, a bounded number of them: a data set may have more shards than a process may have files open.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "core/file_system.h"

namespace athanor::data {

/// Thread-safe. Keeps the files used last open.
class FilePool {
 public:
  explicit FilePool(core::FileSystem& fs, size_t max_open_files = 256)
      : fs_(fs), max_open_files_(max_open_files) {}

  /// The file at `path`; throws DataError when its size is not `expected_bytes` (it was changed or cut since
  /// it was looked at), MissingInputError when it is gone.
  std::shared_ptr<const core::ReadableFile> open(const std::string& path, uint64_t expected_bytes);

  /// Closes the file, if open: what is at `path` is about to be looked at anew.
  void forget(const std::string& path);

  core::FileSystem& file_system() const { return fs_; }

 private:
  using Entry = std::pair<std::string, std::shared_ptr<const core::ReadableFile>>;

  core::FileSystem& fs_;
  size_t max_open_files_;
  std::mutex mutex_;
  std::list<Entry> by_last_use_;  // newest first
  std::unordered_map<std::string, std::list<Entry>::iterator> entry_of_;
};

}  // namespace athanor::data
