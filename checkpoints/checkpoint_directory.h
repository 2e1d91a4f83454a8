// A directory of checkpoints: `step-00000120/` and so on. Names are compared as numbers; no clock is
// consulted.
//
// Beside them may lie what an interrupted program left: `.tmp-ID` (being written), `.removed-ID` (being
// removed) and `.replaced-ID` (about to be replaced by another checkpoint of the same step); and what a run
// that went back to an earlier checkpoint put aside, `.aside-ID`. Readers pass over all of these.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/file_system.h"

namespace athanor::checkpoints {

/// "step-00000120"
std::string checkpoint_name(uint64_t step);
/// The step of a checkpoint's name; nothing when it is no such name or the number exceeds 2^63-1.
std::optional<uint64_t> step_of_name(const std::string& name);

struct CheckpointEntry {
  uint64_t step = 0;
  std::string path;
};

/// The directories in `directory` that are named as checkpoints, oldest first, whatever is in them. A
/// directory that does not exist holds none.
std::vector<CheckpointEntry> list_checkpoints(core::FileSystem& fs, const std::string& directory);

/// The right to write into a directory, held until destruction or until the process is gone. Held by rank 0
/// of a training run before it looks at the directory of its checkpoints, and for the directory of the run
/// itself.
class DirectoryLock {
 public:
  /// Creates the directory when missing. Throws CannotWriteError when another process holds the lock (naming
  /// it and the option that names the directory) or the directory cannot be written.
  explicit DirectoryLock(const std::string& directory, const char* option = "checkpoint.dir");
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

  const std::string& directory() const { return directory_; }
  /// False on a file system without locks: nobody can be shut out there, and leftovers stay.
  bool is_exclusive() const { return is_exclusive_; }

 private:
  std::string directory_;
  int fd_ = -1;
  bool is_exclusive_ = false;
};

/// Removes what dead programs left in the locked directory, and puts back a checkpoint that was about to be
/// replaced. Call before the newest checkpoint is looked for. Returns the names that were dealt with. Without
/// an exclusive lock it does nothing.
std::vector<std::string> clean_leftovers(core::FileSystem& fs, const DirectoryLock& lock);
/// The same without asking for a lock: for callers who know that nobody writes.
std::vector<std::string> clean_leftovers(core::FileSystem& fs, const std::string& directory);

/// Removes a checkpoint so that it is never seen half: renamed first, then removed.
void remove_checkpoint(core::FileSystem& fs, const std::string& path, const std::string& id);

/// Takes a checkpoint out of the sequence without removing it: it becomes `step-00000120.aside-ID`, which
/// nothing chooses, counts or removes, but which can be named. Returns the new path.
std::string put_aside(core::FileSystem& fs, const std::string& path, const std::string& id);

/// Removes every checkpoint older than the `num_to_keep`-th newest good one (manifest whole, all files there
/// with the right sizes); damaged ones do not count as kept. 0 keeps all. Returns the paths that were
/// removed, oldest first.
std::vector<std::string> prune(core::FileSystem& fs, const std::string& directory, uint64_t num_to_keep,
                               const std::string& id);

/// 16 hexadecimal digits that no other call returns: for run ids and start ids.
std::string make_id();

}  // namespace athanor::checkpoints
