// A file system that fails where a test tells it to. Operations that change the disk are counted from 0 in
// the order in which they happen; the chosen one fails, and so may all after it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/file_system.h"

namespace athanor::tests {

enum class Fault {
  kNone,
  kNoSpace,     ///< "No space left on device"; nothing of the operation is done
  kIoError,     ///< "Input/output error"; nothing of the operation is done
  kShortWrite,  ///< an append writes half its bytes and then fails; other operations as kNoSpace
};

struct FaultPlan {
  Fault fault = Fault::kNone;
  uint64_t first_operation = 0;  ///< index of the operation that fails
  bool stays_broken = false;     ///< every later change fails too
};

/// Forwards to `base`, which must outlive it. Thread-safe. Reads never fail unless `fail_reads` is set.
class FaultyFileSystem : public core::FileSystem {
 public:
  explicit FaultyFileSystem(core::FileSystem& base, FaultPlan plan = {}) : base_(base), plan_(plan) {}

  /// Changes seen so far, and what they were ("create a/b", ...).
  uint64_t num_operations() const;
  std::vector<std::string> operations() const;
  /// True once the planned operation was reached.
  bool has_failed() const { return has_failed_; }
  /// From now on nothing fails.
  void heal();
  /// Reads of file content fail with IoError.
  void fail_reads(bool fail) { fail_reads_ = fail; }
  /// What `free_bytes` answers, instead of asking `base`.
  void set_free_bytes(uint64_t free_bytes) { free_bytes_ = free_bytes; }

  std::unique_ptr<core::WritableFile> create(const std::string& path) override;
  std::unique_ptr<core::WritableFile> open_append(const std::string& path) override;
  std::unique_ptr<core::ReadableFile> open(const std::string& path) override;
  void rename(const std::string& from, const std::string& to) override;
  void create_directories(const std::string& path) override;
  void sync_directory(const std::string& path) override;
  void remove_all(const std::string& path) override;
  void truncate(const std::string& path, uint64_t size) override;
  bool exists(const std::string& path) override { return base_.exists(path); }
  bool is_directory(const std::string& path) override { return base_.is_directory(path); }
  std::vector<std::string> list(const std::string& path) override { return base_.list(path); }
  uint64_t file_size(const std::string& path) override { return base_.file_size(path); }
  uint64_t free_bytes(const std::string& path) override;

 private:
  friend class FaultyWritableFile;
  friend class FaultyReadableFile;
  /// Counts one operation; true when it must fail.
  bool must_fail(const std::string& what);
  void step(const std::string& what);
  [[noreturn]] void fail(const std::string& what) const;

  core::FileSystem& base_;
  mutable std::mutex mutex_;
  FaultPlan plan_;
  std::vector<std::string> operations_;
  std::atomic<bool> has_failed_{false};
  std::atomic<bool> fail_reads_{false};
  std::atomic<uint64_t> free_bytes_{UINT64_MAX};
};

}  // namespace athanor::tests
