#include "trainer/checkpoint_keeper.h"

#include <chrono>

#include "checkpoints/checkpoint_reader.h"
#include "configs/load.h"
#include "core/error.h"
#include "core/file_system.h"
#include "core/log.h"
#include "trainer/text_broadcast.h"

namespace athanor::trainer {
namespace {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

configs::Interval interval_of(const std::string& text) {
  const auto interval = configs::parse_interval(text);
  ATHANOR_CHECK(interval.has_value(), "checkpoint.every {} passed the check of the configuration", text);
  return *interval;
}

}  // namespace

CheckpointKeeper::CheckpointKeeper(const configs::RunConfig& config, RunParts& parts,
                                   parallel::Communicator& world)
    : directory_(config.checkpoint_dir()),
      config_yaml_(configs::to_yaml(config)),
      every_(interval_of(config.checkpoint.every)),
      parts_(parts),
      state_{*parts.model, *parts.store, *parts.optimizer},
      world_(world),
      last_save_time_(seconds_now()) {
  if (world.rank() == 0) {
    lock_ = std::make_unique<checkpoints::DirectoryLock>(directory_);
    checkpoints::clean_leftovers(core::posix_file_system(), *lock_);
  }
  writer_options_ = {.directory = directory_,
                     .run_id = broadcast_text(checkpoints::make_id(), world),
                     .start_id = broadcast_text(checkpoints::make_id(), world),
                     .rank = world.rank(),
                     .num_ranks = world.size(),
                     .num_to_keep = static_cast<uint64_t>(config.checkpoint.keep)};
}

std::optional<std::string> CheckpointKeeper::find(const ResumeChoice& choice) const {
  auto& fs = core::posix_file_system();
  if (choice.kind == ResumeChoice::Kind::kPath) {
    if (!fs.exists(choice.path))
      throw core::MissingInputError("--resume {}: no such checkpoint", choice.path);
    return choice.path;
  }
  if (choice.kind == ResumeChoice::Kind::kNever) {
    if (!checkpoints::list_checkpoints(fs, directory_).empty())
      throw core::ConfigError(
          "{}: holds checkpoints of an earlier run, and --resume never would mix two runs; give another "
          "run.dir, or remove them",
          directory_);
    return std::nullopt;
  }
  const auto newest = checkpoints::find_newest_good(fs, directory_);
  if (!newest) return std::nullopt;
  return newest->path;
}

RunCounters CheckpointKeeper::resume(const ResumeChoice& choice) {
  // Rank 0 chooses and has verified every byte; the others trust its word and check sizes.
  std::string path;
  if (world_.rank() == 0) path = find(choice).value_or("");
  path = broadcast_text(path, world_);
  RunCounters counters;
  if (!path.empty()) {
    const checkpoints::CheckpointReader reader(core::posix_file_system(), path, checkpoints::Verify::kSizes);
    counters = restore(reader, state_, parts_.identity);
    if (choice.kind == ResumeChoice::Kind::kNewest) {
      writer_options_.run_id = reader.manifest().run_id;
      last_saved_step_ = counters.step;
    }
    core::log::info("resumed from {} (step {}, {} samples)", path, counters.step, counters.consumed_samples);
    warn_of_newer(counters.step);
  }
  writer_ = std::make_unique<checkpoints::CheckpointWriter>(writer_options_);
  return counters;
}

void CheckpointKeeper::warn_of_newer(int64_t step) const {
  if (world_.rank() != 0) return;
  const auto all = checkpoints::list_checkpoints(core::posix_file_system(), directory_);
  if (all.empty() || static_cast<int64_t>(all.back().step) <= step) return;
  core::log::warning(
      "{} also holds checkpoints up to step {}: until this run has passed it, a start without --resume goes "
      "on from "
      "there; remove them to stay on this branch",
      directory_, all.back().step);
}

bool CheckpointKeeper::is_due(int64_t step) const {
  if (every_.steps) return step % every_.steps == 0;
  return every_.seconds > 0 && world_.rank() == 0 && seconds_now() - last_save_time_ >= every_.seconds;
}

bool CheckpointKeeper::report_failure() {
  const std::exception_ptr failure = writer_->take_error();
  if (!failure) return false;
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    core::log::error("a checkpoint could not be saved, training goes on: {}", error.what());
  }
  return true;
}

double CheckpointKeeper::save(const RunCounters& counters) {
  const double start = seconds_now();
  const bool saves_buffers = world_.rank() == 0;
  const StateSnapshot state = make_snapshot(state_, counters, parts_.identity, config_yaml_, saves_buffers);
  writer_->save(state.snapshot, checkpoints::IfBusy::kWait);
  last_saved_step_ = counters.step;
  last_save_time_ = seconds_now();
  return last_save_time_ - start;
}

void CheckpointKeeper::save_and_wait(const RunCounters& counters) {
  writer_->wait();
  if (last_saved_step_ != counters.step) save(counters);
  writer_->wait();
}

std::string CheckpointKeeper::path_of(int64_t step) const {
  return directory_ + "/" + checkpoints::checkpoint_name(static_cast<uint64_t>(step));
}

}  // namespace athanor::trainer
