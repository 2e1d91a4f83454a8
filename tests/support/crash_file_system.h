// A file system in memory that can lose power.
//
// It keeps, beside what programs see, what a disk is bound to keep: the content a file had when it was last
// synced, and the names a directory had when it was last synced. After the chosen operation every further one
// throws, as if the machine were gone; `after_power_loss` is then what the next start may find. Unsynced work
// is lost, kept, or (by seed) kept in any combination: each unsynced change of a name survives or not on its
// own, and unsynced content survives in blocks of 512 bytes, the others reading as zeros or ending the file
// early. A rename within one directory is atomic.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/file_system.h"

namespace athanor::tests {

enum class Unsynced { kLost, kKept, kMixed };

class CrashFileSystem : public core::FileSystem {
 public:
  /// Power fails instead of operation `last_operation` (counted from 0 over all changes); UINT64_MAX: never.
  explicit CrashFileSystem(uint64_t last_operation = UINT64_MAX);
  ~CrashFileSystem() override;

  uint64_t num_operations() const;
  bool has_crashed() const;
  /// Counting starts again at 0, and power fails at `last_operation` from here.
  void arm(uint64_t last_operation);

  /// The disk as it may be found afterwards, everything on it synced. `seed` matters for kMixed.
  std::unique_ptr<CrashFileSystem> after_power_loss(Unsynced unsynced, uint64_t seed = 0) const;

  std::unique_ptr<core::WritableFile> create(const std::string& path) override;
  std::unique_ptr<core::WritableFile> open_append(const std::string& path) override;
  std::unique_ptr<core::ReadableFile> open(const std::string& path) override;
  void rename(const std::string& from, const std::string& to) override;
  void create_directories(const std::string& path) override;
  void sync_directory(const std::string& path) override;
  void remove_all(const std::string& path) override;
  void truncate(const std::string& path, uint64_t size) override;
  bool exists(const std::string& path) override;
  bool is_directory(const std::string& path) override;
  std::vector<std::string> list(const std::string& path) override;
  uint64_t file_size(const std::string& path) override;
  uint64_t free_bytes(const std::string&) override { return uint64_t{1} << 40; }

  struct Node;

 private:
  friend class CrashWritableFile;
  using NodePtr = std::shared_ptr<Node>;
  void step();
  NodePtr find(const std::string& path) const;
  NodePtr find_parent(const std::string& path) const;

  mutable std::mutex mutex_;
  NodePtr root_;
  uint64_t num_operations_ = 0;
  uint64_t last_operation_;
  bool has_crashed_ = false;
};

}  // namespace athanor::tests
