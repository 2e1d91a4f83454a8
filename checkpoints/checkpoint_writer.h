// Writes checkpoints behind the training.
//
//     CheckpointWriter writer({.directory = "runs/a/checkpoints", .run_id = ..., .start_id = ..., .rank =
//     ..., ...}); if (every rank says writer.is_idle()) writer.save(snapshot);   // returns after a copy in
//     memory writer.wait();                                                 // before leaving
//
// One object per rank, all with the same run id and start id; nothing here communicates but through the
// directory, which all ranks must see. A background thread of low priority writes, digests and syncs this
// rank's files; on rank 0 it then waits for the other ranks' parts, publishes the checkpoint by one rename,
// and prunes.
//
// At most one save is under way: a rank that is still writing is not idle. Since all ranks must save the same
// steps, the decision belongs to the caller, who asks `is_idle` on every rank and agrees; save() itself then
// waits or skips, as told.
//
// A failed save leaves the earlier checkpoints as they were. Its error is kept: `take_error` hands it out, or
// the next save() or wait() throws it (once).
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "checkpoints/host_snapshot.h"
#include "checkpoints/part.h"
#include "core/file_system.h"

namespace athanor::checkpoints {

struct WriterOptions {
  std::string directory;
  std::string run_id;  ///< stays with the run over restarts
  std::string
      start_id;  ///< the same on every rank of this start, never used before (make_id() on rank 0, broadcast)
  int rank = 0;
  int num_ranks = 1;
  uint64_t num_to_keep = 3;                     ///< checkpoints left by pruning; 0 keeps all
  uint64_t max_file_bytes = uint64_t{2} << 30;  ///< a rank's share is cut into files of about this size
  double part_deadline_s = 600;                 ///< how long rank 0 waits for the other ranks' parts
  int niceness = 10;  ///< of the background thread (0-19); its disk priority is the lowest
  core::FileSystem* file_system = nullptr;  ///< null: the machine's
};

enum class IfBusy { kSkip, kWait };

/// What the last finished save cost.
struct SaveFigures {
  uint64_t step = 0;
  uint64_t num_bytes = 0;  ///< of this rank
  double copy_s = 0;       ///< for which save() kept its caller
  double write_s = 0;      ///< writing, digesting and syncing this rank's files
  double publish_s = 0;    ///< rank 0: waiting for parts, publishing, pruning
  double cpu_s = 0;        ///< processor time of the background thread: what the steps can have lost to it
};

class CheckpointWriter {
 public:
  explicit CheckpointWriter(WriterOptions options);
  /// Gives up a save that is under way (call wait() first to keep it).
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// Gets the memory for the copies in the background, so that the first save need not. Only while idle.
  void reserve(uint64_t num_bytes);

  /// True when no save is under way.
  bool is_idle() const;

  /// Copies the snapshot and starts writing it. When the previous save is still under way, kWait waits for
  /// its end; kSkip logs a warning and returns false. Throws the kept error of an earlier save instead of
  /// starting (once).
  bool save(const Snapshot& snapshot, IfBusy if_busy = IfBusy::kSkip);

  /// Returns when no save is under way; throws the kept error, if any. On rank 0 the checkpoint is then
  /// published, on the others their part is on disk.
  void wait();

  /// The kept error, which is then forgotten; null when there is none. Does not wait.
  std::exception_ptr take_error();

  /// Of the last save that succeeded; on rank 0: that was published.
  std::optional<SaveFigures> last_figures() const;

 private:
  enum class Job { kNone, kReserve, kSave };

  void run();
  void run_save();
  void start(Job job);
  void finish(std::exception_ptr error);
  void throw_kept_error(std::unique_lock<std::mutex>& lock);
  void give_up(const SaveIdentity& identity, const std::string& reason) noexcept;
  void remove_quietly(const std::string& path) noexcept;
  void prune_quietly() noexcept;

  const WriterOptions options_;
  core::FileSystem& fs_;

  // Owned by whoever may use them: the caller while the job is kNone, else the background thread.
  HostSnapshot host_;
  Progress progress_;
  std::string training_state_, config_;
  SaveIdentity identity_;
  uint64_t num_attempts_ = 0;
  uint64_t reserve_bytes_ = 0;
  SaveFigures figures_;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  Job job_ = Job::kNone;
  bool is_stopping_ = false;
  std::exception_ptr error_;
  std::optional<SaveFigures> last_figures_;
  std::atomic<bool> cancelled_{false};
  std::thread thread_;
};

}  // namespace athanor::checkpoints
