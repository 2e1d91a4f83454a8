// Moves messages while the rank computes. An MPI library moves data only inside its own calls, so what was
// begun before a long computation would arrive when the rank comes back to wait for it. While calls are in
// flight and nobody waits, a thread enters the library every now and then.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace athanor::parallel {

class MpiDriver {
 public:
  /// `comm_handle`: MPI_Comm_c2f of a communicator on which nothing is ever sent. It must outlive this.
  explicit MpiDriver(int comm_handle);
  ~MpiDriver();  ///< before MPI_Finalize
  MpiDriver(const MpiDriver&) = delete;
  MpiDriver& operator=(const MpiDriver&) = delete;

  /// A call has begun, has ended. Any thread.
  void begin();
  void end();

  /// While one lives, the calling thread drives the library itself.
  class Waiting {
   public:
    explicit Waiting(MpiDriver* driver) : driver_(driver) {
      if (driver_) ++driver_->num_waiting_;
    }
    ~Waiting() {
      if (driver_ && --driver_->num_waiting_ == 0) driver_->wake();
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

   private:
    MpiDriver* driver_;
  };

 private:
  bool has_work() const { return num_open_ > 0 && num_waiting_ == 0; }
  void wake();
  void run();

  int comm_handle_;
  std::atomic<int> num_open_ = 0, num_waiting_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace athanor::parallel
