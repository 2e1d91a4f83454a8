// What happens in a run as JSON lines, in RUN/metrics.jsonl and wherever else they are wanted: one object per
// step, with the validation of that step in it. A number that is not finite is null, since JSON has no such
// numbers.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/file_system.h"
#include "observe/step_record.h"

namespace athanor::observe {

class MetricsLines : public Observer {
 public:
  using Write = std::function<void(std::string_view line)>;  ///< takes a line with its line feed

  explicit MetricsLines(Write write) : write_(std::move(write)) {}

  void on_step(const StepRecord& record) override;
  /// Kept until the step's record comes; before the first step (step 0) it gets an object of its own.
  void on_validation(const ValidationRecord& record) override;
  void on_resume(uint64_t step) override;

 private:
  void write_pending();

  Write write_;
  std::optional<ValidationRecord> pending_;
};

/// The lines in a file, on disk as soon as they are written.
class MetricsWriter : public Observer {
 public:
  /// Appends to `path`, whose directory must exist. Throws CannotWriteError.
  MetricsWriter(core::FileSystem& fs, std::string path);

  void on_step(const StepRecord& record) override { lines_.on_step(record); }
  void on_validation(const ValidationRecord& record) override { lines_.on_validation(record); }
  /// Cuts off the objects of later steps and whatever follows them, such as a line that a crash tore.
  void on_resume(uint64_t step) override;

 private:
  core::FileSystem& fs_;
  std::string path_;
  std::unique_ptr<core::WritableFile> file_;
  MetricsLines lines_;
};

/// The object of a step, without a newline; `validation` may be null.
std::string metrics_line(const StepRecord& record, const ValidationRecord* validation);

/// The shortest text that reads back to the same bits, always with a point or an exponent; `null` when not
/// finite.
std::string json_number(double value);

/// Length of the part of a metrics file that ends with the last whole line of a step up to `last_step`, as
/// long as steps only grow. Lines in it that are not an object with a step stay. Throws IoError.
uint64_t metrics_bytes_through(const core::ReadableFile& file, uint64_t last_step);

}  // namespace athanor::observe
