#include "parallel/nccl_job.h"

#include <algorithm>
#include <chrono>
#include <future>

#include <c10/core/impl/VirtualGuardImpl.h>
#include <fmt/core.h>

#include "core/error.h"
#include "core/log.h"
#include "parallel/wait_loop.h"

namespace athanor::parallel {
namespace {

constexpr double kLooksPerDeadline = 20;
constexpr double kMinIntervalSeconds = 1e-3, kMaxIntervalSeconds = 50e-3;
constexpr double kClosePatienceSeconds = 5;
constexpr std::chrono::seconds kAbortPatience{3};

}  // namespace

std::string DeviceGroup::describe(const BoardCall& call) const {
  return fmt::format("{} #{} on axis {} at rank {} of {} (world rank {})", name_of(call.verb), call.sequence,
                     axis_names->at(axis_idx), rank, world_ranks.size(), world_ranks[rank]);
}

NcclJob::NcclJob(std::shared_ptr<const NcclLibrary> library, c10::Device device)
    : library_(std::move(library)),
      device_(device),
      interval_s_(kMaxIntervalSeconds),
      watchdog_([this] { run_watchdog(); }) {}

NcclJob::~NcclJob() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  watchdog_.join();
}

void NcclJob::watch(std::shared_ptr<Watched> watched, double timeout_s) {
  const std::lock_guard lock(mutex_);
  watched_.push_back(std::move(watched));
  interval_s_ = std::clamp(std::min(interval_s_, timeout_s / kLooksPerDeadline), kMinIntervalSeconds,
                           kMaxIntervalSeconds);
}

std::vector<std::shared_ptr<Watched>> NcclJob::everything() {
  const std::lock_guard lock(mutex_);
  return watched_;
}

void NcclJob::run_watchdog() {
  // An event is asked from here; the device must be this rank's own, or the runtime would open another.
  c10::impl::VirtualGuardImpl(device_.type()).setDevice(device_);
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    wake_.wait_for(lock, std::chrono::duration<double>(interval_s_), [this] { return stopping_; });
    if (stopping_ || !failure_.empty()) continue;
    lock.unlock();
    for (const auto& watched : everything()) {
      const std::string found = watched->look();
      if (!found.empty()) fail(found);
    }
    lock.lock();
  }
}

void NcclJob::check() {
  const std::lock_guard lock(mutex_);
  if (!failure_.empty()) throw core::CommError(failure_);
}

void NcclJob::fail(const std::string& message) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (!failure_.empty()) return;
    failure_ = message;
  }
  core::log::error("{}; all device communication is aborted", message);
  abort_all();
}

void NcclJob::abort_all() noexcept {
  for (const auto& watched : everything()) watched->abort();
}

// The library's abort waits for kernels to notice. A device that hangs altogether must not keep the process
// from ending, so the threads here are left behind after a while.
void NcclJob::abort() noexcept {
  const auto done = std::make_shared<std::promise<void>>();
  const auto is_done = done->get_future();
  std::thread([done, watched = everything()] {
    for (const auto& each : watched) each->abort();
    done->set_value();
  }).detach();
  is_done.wait_for(kAbortPatience);
}

void NcclJob::drain(double timeout_s) {
  WaitLoop loop(timeout_s);
  for (const auto& watched : everything())
    while (!watched->is_idle()) {
      check();
      if (!loop.pause())
        fail(fmt::format("device calls are still in flight {:.1f} s after the last one was made",
                         loop.idle_seconds()));
    }
  check();
}

void NcclJob::close() {
  for (const auto& watched : everything()) watched->close(kClosePatienceSeconds);
  const std::lock_guard lock(mutex_);
  watched_.clear();
}

}  // namespace athanor::parallel
