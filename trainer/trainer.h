// The loop: step after step, with validation, checkpoints and the run's own rules for ending it.
//
// What one step does is in train_step.cpp; what is shown and written about it is the observers' affair.
// Decisions (stop, save, skip) are taken alike on every rank.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "configs/run_config.h"
#include "parallel/session.h"

namespace athanor::trainer {

/// Which checkpoint a run starts from.
struct ResumeChoice {
  enum class Kind { kNewest, kNever, kPath } kind = Kind::kNewest;
  std::string path;
};

/// What a run shows on the standard output.
enum class Console {
  kLines,  ///< a line every so many steps
  kLive,   ///< one line that changes, for a terminal
  kJson,   ///< the lines of metrics.jsonl
};

struct TrainerOptions {
  configs::RunConfig config;
  ResumeChoice resume;
  /// Set from outside (a signal handler) to ask for a checkpoint and an orderly end.
  const std::atomic<int>* stop_signal = nullptr;
  Console console = Console::kLines;
};

enum class Outcome {
  kFinished,       ///< the run's last step, or early stopping
  kStartLimit,     ///< stop_after_steps
  kStopRequested,  ///< by signal; a checkpoint is saved
};

/// Builds everything the configuration asks for, resumes, and runs to an end. Collective over the session.
/// Throws PolicyStop when too many steps in a row were not finite, and the errors of its parts.
Outcome train(const TrainerOptions& options, parallel::Session& session);

}  // namespace athanor::trainer
