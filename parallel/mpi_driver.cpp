#include "parallel/mpi_driver.h"

#include <chrono>

#include <mpi.h>

#include "parallel/signals_blocked.h"

namespace athanor::parallel {
namespace {
// Socket buffers hold what a fast network brings meanwhile; a look takes a few microseconds.
constexpr auto kPause = std::chrono::microseconds(100);
}  // namespace

MpiDriver::MpiDriver(int comm_handle) : comm_handle_(comm_handle) {
  const SignalsBlocked blocked;
  thread_ = std::thread([this] { run(); });
}

MpiDriver::~MpiDriver() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void MpiDriver::begin() {
  if (num_open_++ == 0) wake();
}

void MpiDriver::end() {
  --num_open_;
}

// The lock makes sure that the thread is not between its look at the numbers and its sleep.
void MpiDriver::wake() {
  { const std::lock_guard lock(mutex_); }
  changed_.notify_one();
}

// A look for a message that nobody sends: the library moves everything that is under way. An error concerns
// the call that it belongs to, which reports it when it is waited for.
void MpiDriver::run() {
  const MPI_Comm comm = MPI_Comm_f2c(comm_handle_);
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return ends_ || has_work(); });
    if (ends_) return;
    lock.unlock();
    int found = 0;
    MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm, &found, MPI_STATUS_IGNORE);
    std::this_thread::sleep_for(kPause);
    lock.lock();
  }
}

}  // namespace athanor::parallel
