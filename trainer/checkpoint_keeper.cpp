#include "trainer/checkpoint_keeper.h"

#include <chrono>
#include <filesystem>
#include <vector>

#include <fmt/ranges.h>

#include "checkpoints/checkpoint_reader.h"
#include "checkpoints/find_checkpoint.h"
#include "configs/flat_options.h"
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
    : config_(config),
      directory_(config.checkpoint_dir()),
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
  if (choice.kind == ResumeChoice::Kind::kPath) return find_named(choice.path);
  const bool is_anew = choice.kind == ResumeChoice::Kind::kNever;
  if (is_anew && !checkpoints::list_checkpoints(fs, directory_).empty())
    throw core::ConfigError(
        "{}: holds checkpoints of an earlier run, and --resume never would mix two runs; give another "
        "run.dir, or remove them",
        directory_);
  if (!is_anew)
    if (const auto newest = checkpoints::find_newest_good(fs, directory_)) return newest->path;
  check_run_is_new(is_anew);
  return std::nullopt;
}

std::string CheckpointKeeper::find_named(const std::string& path) {
  auto& fs = core::posix_file_system();
  if (!fs.exists(path)) throw core::MissingInputError("--resume {}: no such checkpoint", path);
  if (checkpoints::is_checkpoint(fs, path)) {
    checkpoints::CheckpointReader(fs, path, checkpoints::Verify::kDigests);
    return path;
  }
  const std::string directory = checkpoints::directory_of_checkpoints(fs, path);
  if (const auto newest = checkpoints::find_newest_good(fs, directory)) return newest->path;
  throw core::MissingInputError(
      "--resume {}: expected a checkpoint (a directory with manifest.json), or a run or directory with some",
      path);
}

void CheckpointKeeper::check_run_is_new(bool is_asked_for) const {
  auto& fs = core::posix_file_system();
  const std::string run = config_.run_dir(), metrics = run + "/metrics.jsonl";
  if (!fs.exists(metrics) || fs.file_size(metrics) == 0) return;
  if (is_asked_for)
    throw core::ConfigError("{}: holds the metrics of an earlier run; give another run.dir, or remove it",
                            run);
  // A run that died before its first checkpoint begins again; one whose checkpoints are elsewhere does not.
  if (!fs.exists(run + "/config.yaml")) return;
  const std::string before = configs::load_run_config(run + "/config.yaml").checkpoint_dir();
  if (std::filesystem::weakly_canonical(before) == std::filesystem::weakly_canonical(directory_) ||
      checkpoints::list_checkpoints(fs, before).empty())
    return;
  throw core::ConfigError(
      "{}: is a run whose checkpoints are in {}, and checkpoint.dir {} holds none; give that directory, or "
      "another run.dir",
      run, before, directory_);
}

void CheckpointKeeper::log_changed_options(const checkpoints::Manifest& manifest) const {
  constexpr size_t kMaxNamed = 8;
  configs::RunConfig before;
  if (!configs::check_text("checkpoint", manifest.config, {}, {}, before).empty())
    return;  // of another version
  std::vector<std::string> changes;
  for (const auto& change :
       configs::find_differences(configs::flat_options(before), configs::flat_options(config_)))
    changes.push_back(fmt::format("{} {} (was {})", change.name, change.after, change.before));
  if (changes.empty()) return;
  if (changes.size() > kMaxNamed) {
    changes[kMaxNamed] = fmt::format("and {} more", changes.size() - kMaxNamed);
    changes.resize(kMaxNamed + 1);
  }
  core::log::info("options that are not those of the checkpoint: {}", fmt::join(changes, ", "));
}

RunCounters CheckpointKeeper::resume(const ResumeChoice& choice) {
  // Rank 0 chooses and has verified every byte; the others trust its word and check sizes.
  std::string path;
  if (world_.rank() == 0) path = find(choice).value_or("");
  path = broadcast_text(path, world_);
  RunCounters counters;
  bool must_save = false;
  if (!path.empty()) {
    const checkpoints::CheckpointReader reader(core::posix_file_system(), path, checkpoints::Verify::kSizes);
    counters = restore(reader, state_, parts_.identity);
    core::log::info("resumed from {} (step {}, {} samples)", path, counters.step, counters.consumed_samples);
    if (world_.rank() == 0) log_changed_options(reader.manifest());
    const bool is_here = is_own(path);
    if (is_here) {
      writer_options_.run_id = reader.manifest().run_id;
      last_saved_step_ = counters.step;
    }
    must_save = !is_here;
    if (choice.kind == ResumeChoice::Kind::kPath && world_.rank() == 0) put_later_aside(path, counters.step);
  }
  writer_ = std::make_unique<checkpoints::CheckpointWriter>(writer_options_);
  if (must_save) save(counters);
  return counters;
}

bool CheckpointKeeper::is_own(const std::string& path) const {
  std::string answer;
  if (world_.rank() == 0) {
    const auto whole = std::filesystem::canonical(path);
    const bool is_here = checkpoints::step_of_name(whole.filename().string()) &&
                         std::filesystem::equivalent(whole.parent_path(), directory_);
    answer = is_here ? "here" : "";
  }
  return !broadcast_text(answer, world_).empty();
}

void CheckpointKeeper::put_later_aside(const std::string& path, int64_t step) const {
  auto& fs = core::posix_file_system();
  const std::string id = checkpoints::make_id();
  auto entries = checkpoints::list_checkpoints(fs, directory_);
  for (; !entries.empty(); entries.pop_back()) {  // newest first: whenever this ends, a start finds one run
    const auto& entry = entries.back();
    const bool is_later = static_cast<int64_t>(entry.step) > step;
    if (!is_later &&
        (static_cast<int64_t>(entry.step) < step || std::filesystem::equivalent(entry.path, path)))
      return;
    const std::string aside = checkpoints::put_aside(fs, entry.path, id);
    core::log::warning(
        "{} is put aside as {}, since --resume goes back to step {}; remove it if it is not wanted",
        entry.path, aside, step);
  }
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
