// What a person sees of a run: on a terminal one live line, otherwise one plain line every so many steps.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "observe/process_memory.h"
#include "observe/step_record.h"
#include "observe/step_timer.h"

namespace athanor::observe {

/// 950, 1.50k, 12.3M, 4.56G: three digits.
std::string format_count(double count);
/// 512 B, 1.50 KiB, 12.3 GiB.
std::string format_bytes(uint64_t bytes);
/// 0.8s, 42s, 3m05s, 2h07m, 5d03h.
std::string format_duration(double seconds);

/// Everything the line shows.
struct ProgressFacts {
  uint64_t step = 0;
  uint64_t total_steps = 0;  ///< 0: not known
  double loss = 0;
  std::optional<double> validation_loss = {};
  double tokens_per_second = 0;
  double mfu = 0;  ///< 0: not known
  uint64_t memory_bytes = 0;
  std::optional<double> checkpoint_age_s = {};
  std::optional<double> remaining_s = {};
};

/// step 12/200 | loss 3.2145 | 12.3k tokens/s | MFU 41.2 % | 2.10 GiB | checkpoint 42s ago | 3m05s left
std::string format_progress(const ProgressFacts& facts);

struct ProgressOptions {
  uint64_t total_steps = 0;  ///< 0: not known
  uint64_t every = 1;        ///< steps between plain lines
  bool is_terminal = false;
  int terminal_columns = 120;  ///< a live line is cut to fit
};

class ProgressLine : public Observer {
 public:
  using Write = std::function<void(std::string_view)>;  ///< puts text on the console at once
  using ReadMemory = std::function<ProcessMemory()>;

  ProgressLine(const ProgressOptions& options, Write write, ReadMemory read_memory = process_memory);
  /// Leaves the last live line standing.
  ~ProgressLine() override;

  void on_step(const StepRecord& record) override;
  void on_validation(const ValidationRecord& record) override;
  void on_checkpoint(const CheckpointRecord& record) override;
  void on_resume(uint64_t step) override;

 private:
  ProgressFacts facts_of(const StepRecord& record);

  ProgressOptions options_;
  Write write_;
  ReadMemory read_memory_;
  StepTimer timer_;
  std::optional<double> validation_loss_, checkpoint_time_;
  bool is_line_open_ = false;
};

/// Writes to a C stream and flushes it. When nobody reads it any more, or its disk is full, a warning says so
/// once and the rest is dropped: a run does not end because nobody looks. A closed pipe must not raise
/// SIGPIPE.
ProgressLine::Write console_writer(std::FILE* stream);

}  // namespace athanor::observe
