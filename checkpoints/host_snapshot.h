// A copy of one rank's state in host memory, already laid out as the files that will hold it.
//
// The copy is the only part of a save for which training waits. The memory is kept from one save to the next,
// so only the first copy (or `reserve`) pays for getting it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "checkpoints/layout.h"
#include "checkpoints/manifest.h"
#include "checkpoints/tensor_info.h"

namespace athanor::checkpoints {

/// A piece of a tensor that this rank owns, to be saved. The bytes are read during the call that takes the
/// snapshot.
struct SliceToSave {
  std::string name;
  std::string kind;  ///< "weight", "exp_avg", "exp_avg_sq", "buffer", ...
  Dtype dtype = Dtype::kF32;
  Shape global_shape;
  Box box;  ///< the part of the global tensor that this rank's tensor-parallel share is; empty: the whole
            ///< tensor
  uint64_t begin = 0;  ///< elements [begin, end) of the box; begin == end: this rank holds nothing of it
  uint64_t end = 0;
  std::span<const std::byte> bytes;
};

struct Snapshot {
  Progress progress;
  std::string training_state = "{}";  ///< a JSON object; only rank 0's is kept
  std::string config;                 ///< UTF-8; only rank 0's is kept
  std::vector<SliceToSave> slices;
};

/// Throws InternalError for slices that contradict themselves, ConfigError for text that is not UTF-8 or not
/// JSON.
void check_snapshot(const Snapshot& snapshot);

/// Memory from the system, touched page by page before it is needed.
class HostArena {
 public:
  HostArena() = default;
  ~HostArena();
  HostArena(const HostArena&) = delete;
  HostArena& operator=(const HostArena&) = delete;

  /// At least `num_bytes`, all pages present; the content is lost when it has to grow. IoError when there is
  /// no memory.
  void reserve(uint64_t num_bytes);
  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }

 private:
  void release();
  std::byte* data_ = nullptr;
  uint64_t capacity_ = 0;
};

/// A slice as it will be stored.
struct StoredSlice {
  std::string name, kind, key;
  Dtype dtype = Dtype::kF32;
  Shape global_shape;
  Piece piece;
  uint64_t arena_offset = 0;
  uint64_t num_bytes = 0;

  /// The shape it has in its file: the box when it is all of it, one dimension otherwise.
  TensorInfo info_in_file() const;
};

/// A file to be: stored slices [first_slice, last_slice), whose bytes are one stretch of the arena.
struct StoredFile {
  std::string name;
  uint64_t first_slice = 0, last_slice = 0;
};

class HostSnapshot {
 public:
  /// Gets the memory ahead of the first copy.
  void reserve(uint64_t num_bytes) { arena_.reserve(num_bytes); }

  /// Lays out and copies. Files are named after `rank` and hold at most `max_file_bytes` (unless one slice is
  /// larger). Copies on all compute threads; returns when every byte is copied.
  void copy_from(const Snapshot& snapshot, int rank, uint64_t max_file_bytes);

  const std::vector<StoredSlice>& slices() const { return slices_; }
  const std::vector<StoredFile>& files() const { return files_; }
  std::span<const std::byte> bytes(const StoredFile& file) const;
  uint64_t num_bytes() const { return num_bytes_; }

 private:
  HostArena arena_;
  std::vector<StoredSlice> slices_;
  std::vector<StoredFile> files_;
  uint64_t num_bytes_ = 0;
};

}  // namespace athanor::checkpoints
