// When the state of a run is saved, and where it is found again: the trainer's side of checkpoints/.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "checkpoints/checkpoint_directory.h"
#include "checkpoints/checkpoint_writer.h"
#include "configs/interval.h"
#include "configs/run_config.h"
#include "parallel/communicator.h"
#include "trainer/run_parts.h"
#include "trainer/trainer.h"
#include "trainer/training_state.h"

namespace athanor::trainer {

class CheckpointKeeper {
 public:
  /// Rank 0 takes the directory's lock and clears what a dead program left there. Collective over `world`.
  /// `config` must outlive the keeper.
  CheckpointKeeper(const configs::RunConfig& config, RunParts& parts, parallel::Communicator& world);

  /// Restores the chosen checkpoint, if any, into the parts. Collective. A path that is asked for becomes
  /// where the run stands: later checkpoints in the directory are put aside, and one from elsewhere is saved
  /// here at once, so that the next start goes on from it. MissingInputError when that path is not there.
  RunCounters resume(const ResumeChoice& choice);

  /// Whether a save is due after this step, by steps or by rank 0's clock.
  bool is_due(int64_t step) const;
  bool is_writing() const { return !writer_->is_idle(); }
  /// Logs the error of a save that failed since the last call; true when there was one. Training goes on.
  bool report_failure();
  /// Copies the state and starts writing it. Every rank calls it for the same steps. Seconds that the copy
  /// took.
  double save(const RunCounters& counters);
  /// Saves unless this step is saved already, and returns when it is on disk. Throws IoError when it cannot
  /// be.
  void save_and_wait(const RunCounters& counters);
  void wait() { writer_->wait(); }

  int64_t last_saved_step() const { return last_saved_step_; }
  std::string path_of(int64_t step) const;

 private:
  std::optional<std::string> find(const ResumeChoice& choice) const;
  /// The checkpoint that --resume names: itself, or the newest good one of a run or of a directory of them.
  static std::string find_named(const std::string& path);
  /// A run that begins anew must not write over what another one has left in run.dir.
  void check_run_is_new(bool is_asked_for) const;
  /// Says which options are not those of the checkpoint: all may change that `restore` does not refuse.
  void log_changed_options(const checkpoints::Manifest& manifest) const;
  /// Whether the checkpoint is one of this directory, as rank 0 sees it. Collective.
  bool is_own(const std::string& path) const;
  /// Makes the directory end with the checkpoint at `path`, if it is one of its own, else before that step.
  void put_later_aside(const std::string& path, int64_t step) const;

  const configs::RunConfig& config_;
  std::string directory_, config_yaml_;
  configs::Interval every_;
  RunParts& parts_;
  TrainingState state_;
  parallel::Communicator& world_;
  std::unique_ptr<checkpoints::DirectoryLock> lock_;
  std::unique_ptr<checkpoints::CheckpointWriter> writer_;
  checkpoints::WriterOptions writer_options_;
  int64_t last_saved_step_ = -1;
  double last_save_time_ = 0;
};

}  // namespace athanor::trainer
