#include "checkpoints/checkpoint_writer.h"

#include <chrono>
#include <ctime>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "checkpoints/checkpoint_directory.h"
#include "checkpoints/file_names.h"
#include "checkpoints/publish.h"
#include "core/error.h"
#include "core/log.h"

namespace athanor::checkpoints {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double my_cpu_seconds() {
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

// Linux keeps both priorities per thread. Where they cannot be set the writer is merely less polite.
void lower_my_priority(int niceness) {
  constexpr int kIoWhoProcess = 1, kIoBestEffort = 2, kIoClassShift = 13, kIoLowest = 7;
  const auto thread_id = static_cast<id_t>(::syscall(SYS_gettid));
  ::setpriority(PRIO_PROCESS, thread_id, niceness);
  ::syscall(SYS_ioprio_set, kIoWhoProcess, thread_id, (kIoBestEffort << kIoClassShift) | kIoLowest);
}

// Signals are for the training thread; here they would only interrupt writes.
void block_signals() {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

std::string message_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& exception) {
    return exception.what();
  } catch (const SaveCancelled&) {
    return "given up on request";
  }
}

}  // namespace

CheckpointWriter::CheckpointWriter(WriterOptions options)
    : options_(std::move(options)),
      fs_(options_.file_system ? *options_.file_system : core::posix_file_system()) {
  ATHANOR_CHECK(options_.rank >= 0 && options_.rank < options_.num_ranks, "rank {} of {}", options_.rank,
                options_.num_ranks);
  ATHANOR_CHECK(is_plain_file_name(options_.start_id) && !options_.run_id.empty(),
                "a checkpoint writer needs a run id and a start id that can be part of a file name");
  create_durable_directories(fs_, options_.directory);
  thread_ = std::thread([this] { run(); });
}

CheckpointWriter::~CheckpointWriter() {
  cancelled_ = true;
  {
    std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

// ---- the caller's side ----

bool CheckpointWriter::is_idle() const {
  std::lock_guard lock(mutex_);
  return job_ == Job::kNone;
}

void CheckpointWriter::start(Job job) {
  {
    std::lock_guard lock(mutex_);
    ATHANOR_CHECK(job_ == Job::kNone, "the checkpoint writer was given work while it was busy");
    job_ = job;
  }
  changed_.notify_all();
}

void CheckpointWriter::reserve(uint64_t num_bytes) {
  ATHANOR_CHECK(is_idle(), "memory for checkpoints was asked for while one is being written");
  reserve_bytes_ = num_bytes;
  start(Job::kReserve);
}

bool CheckpointWriter::save(const Snapshot& snapshot, IfBusy if_busy) {
  check_snapshot(snapshot);
  {
    std::unique_lock lock(mutex_);
    if (job_ == Job::kSave && if_busy == IfBusy::kSkip) {
      core::log::warning(
          "step {}: no checkpoint: the one of step {} is still being written; save less often, or to a "
          "faster disk",
          snapshot.progress.step, identity_.step);
      return false;
    }
    changed_.wait(lock, [&] { return job_ == Job::kNone; });
    throw_kept_error(lock);
  }
  const auto began = Clock::now();
  host_.copy_from(snapshot, options_.rank, options_.max_file_bytes);
  progress_ = snapshot.progress;
  training_state_ = snapshot.training_state;
  config_ = snapshot.config;
  // The attempt tells apart two saves of one step, of which the first may have failed half-way.
  identity_ = {options_.run_id, fmt::format("{}-{}", options_.start_id, ++num_attempts_), progress_.step,
               options_.rank, options_.num_ranks};
  figures_ = {progress_.step, host_.num_bytes(), seconds_since(began), 0, 0, 0};
  start(Job::kSave);
  return true;
}

void CheckpointWriter::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return job_ == Job::kNone; });
  throw_kept_error(lock);
}

void CheckpointWriter::throw_kept_error(std::unique_lock<std::mutex>&) {
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

std::exception_ptr CheckpointWriter::take_error() {
  std::lock_guard lock(mutex_);
  return std::exchange(error_, nullptr);
}

std::optional<SaveFigures> CheckpointWriter::last_figures() const {
  std::lock_guard lock(mutex_);
  return last_figures_;
}

// ---- the background thread ----

void CheckpointWriter::run() {
  block_signals();
  lower_my_priority(options_.niceness);
  for (;;) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return job_ != Job::kNone || is_stopping_; });
    if (is_stopping_) return;
    const Job job = job_;
    lock.unlock();
    std::exception_ptr error;
    const double cpu_began_s = my_cpu_seconds();
    try {
      job == Job::kSave ? run_save() : host_.reserve(reserve_bytes_);
    } catch (...) {
      error = std::current_exception();
    }
    figures_.cpu_s = my_cpu_seconds() - cpu_began_s;
    finish(error);
  }
}

void CheckpointWriter::run_save() {
  const std::string temporary = options_.directory + "/" + temporary_checkpoint_name(identity_);
  try {
    auto began = Clock::now();
    fs_.create_directories(temporary);
    write_part(fs_, temporary, host_, identity_, cancelled_);
    figures_.write_s = seconds_since(began);
    if (options_.rank != 0) return;
    began = Clock::now();
    publish(fs_,
            {options_.directory, identity_, progress_, training_state_, config_, options_.part_deadline_s},
            cancelled_);
    prune_quietly();
    figures_.publish_s = seconds_since(began);
  } catch (...) {
    give_up(identity_, message_of(std::current_exception()));
    throw;
  }
}

void CheckpointWriter::finish(std::exception_ptr error) {
  const std::string message = error ? message_of(error) : "";
  if (error && !cancelled_) core::log::warning("checkpoint of step {} failed: {}", identity_.step, message);
  {
    std::lock_guard lock(mutex_);
    if (error)
      error_ = error;
    else if (job_ == Job::kSave)
      last_figures_ = figures_;
    job_ = Job::kNone;
  }
  changed_.notify_all();
}

// Rank 0 takes the whole unfinished directory away, so that a full disk does not stay full; another rank
// leaves a note for rank 0, and takes only its own files.
void CheckpointWriter::give_up(const SaveIdentity& identity, const std::string& reason) noexcept {
  const std::string temporary = options_.directory + "/" + temporary_checkpoint_name(identity);
  if (options_.rank == 0) return remove_quietly(temporary);
  for (const StoredFile& file : host_.files()) remove_quietly(temporary + "/" + file.name);
  try {
    core::write_file_atomically(fs_, temporary + "/" + failure_name(options_.rank), reason);
  } catch (const std::exception& error) {
    core::log::warning("rank 0 cannot be told that the checkpoint failed here: {}", error.what());
  }
}

void CheckpointWriter::remove_quietly(const std::string& path) noexcept {
  try {
    fs_.remove_all(path);
  } catch (const std::exception& error) {
    core::log::warning("an unfinished checkpoint stays behind: {}", error.what());
  }
}

// The checkpoint is published; that an old one could not be removed does not change that.
void CheckpointWriter::prune_quietly() noexcept {
  try {
    prune(fs_, options_.directory, options_.num_to_keep, options_.start_id);
  } catch (const std::exception& error) {
    core::log::warning("old checkpoints stay behind: {}", error.what());
  }
}

}  // namespace athanor::checkpoints
