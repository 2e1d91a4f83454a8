// What all NCCL communicators of one process share: the library, the device, the watchdog thread, and the
// first failure, after which every call on every one of them throws.
//
// A device call returns before it has run, so nobody may be waiting when a peer is lost. The watchdog looks
// at everything in flight a few times per deadline; on an error, or when nothing has moved for a deadline, it
// aborts all communicators, which also ends their kernels, so that a thread that waits for the device comes
// back. Work that was queued behind an aborted call then runs on data that never arrived: whoever uses its
// results makes another call first, and that one throws.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <c10/core/Device.h>

#include "parallel/nccl_library.h"
#include "parallel/progress_board.h"

namespace athanor::parallel {

/// The ranks of one axis, for messages and deadlines.
struct DeviceGroup {
  std::string axis;
  std::vector<int> world_ranks;
  int rank = 0;
  int axis_idx = 0;  ///< on the progress board; device calls are numbered apart from host calls
  std::shared_ptr<const std::vector<std::string>> axis_names;  ///< by axis_idx
  ProgressBoard* board = nullptr;
  double timeout_s = 600;

  std::string describe(const BoardCall& call) const;  ///< "all_gather #7 on axis data (device)"
};

/// Something the watchdog looks after. Called from its thread.
class Watched {
 public:
  virtual ~Watched() = default;
  /// The failure it found, or empty.
  virtual std::string look() = 0;
  virtual bool is_idle() = 0;
  virtual void abort() noexcept = 0;
  virtual void close(double patience_s) = 0;
};

class NcclJob : public std::enable_shared_from_this<NcclJob> {
 public:
  /// `device` is the CUDA device of this rank, already current.
  NcclJob(std::shared_ptr<const NcclLibrary> library, c10::Device device);
  ~NcclJob();

  const NcclLibrary& library() const { return *library_; }
  c10::Device device() const { return device_; }
  /// Owns `watched`, which therefore refers to the job without owning it. The smallest deadline decides how
  /// often the watchdog looks.
  void watch(std::shared_ptr<Watched> watched, double timeout_s);

  /// Throws CommError when there was a failure on any communicator.
  void check();
  /// The first failure stays; aborts everything.
  void fail(const std::string& message) noexcept;
  /// Aborts everything, in bounded time: before the process ends on request.
  void abort() noexcept;
  /// Waits until nothing is in flight. Nothing may be left that nobody waited for: CommError after
  /// `timeout_s`.
  void drain(double timeout_s);
  /// The orderly end: all ranks, after they drained and met.
  void close();

 private:
  void run_watchdog();
  void abort_all() noexcept;
  std::vector<std::shared_ptr<Watched>> everything();

  std::shared_ptr<const NcclLibrary> library_;
  c10::Device device_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::shared_ptr<Watched>> watched_;
  double interval_s_;
  std::string failure_;
  bool stopping_ = false;
  std::thread watchdog_;  // last: uses all of the above
};

}  // namespace athanor::parallel
