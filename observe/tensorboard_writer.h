// Scalars for TensorBoard: an event file, written by hand.
//
// A file is a row of records: length (uint64), masked CRC-32C of the length, the bytes, masked CRC-32C of the
// bytes, all little-endian. The bytes are an `Event` in protocol buffer encoding: wall_time = 1 (double),
// step = 2 (int64) and one of file_version = 3 (string), summary = 5, session_log = 7; a summary is a row of
// values = 1 with tag = 1 (string) and simple_value = 2 (float). The first event names the version,
// "brain.Event:2".
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/file_system.h"
#include "observe/step_record.h"

namespace athanor::observe {

class TensorboardWriter : public Observer {
 public:
  /// Starts a new event file in `directory`, which is created. `start_time` (seconds since 1970) and the
  /// process make its name. Throws CannotWriteError.
  TensorboardWriter(core::FileSystem& fs, const std::string& directory, double start_time);

  void on_step(const StepRecord& record) override;
  void on_validation(const ValidationRecord& record) override;
  /// Tells TensorBoard to forget the later steps in the files of earlier starts.
  void on_resume(uint64_t step) override;

  const std::string& path() const { return path_; }

 private:
  void write_event(const std::string& event);
  void write_scalars(double time, uint64_t step, std::string_view group,
                     const std::vector<NamedValue>& values);

  std::string path_;
  std::unique_ptr<core::WritableFile> file_;
  double last_time_;
};

/// CRC-32C (Castagnoli), as iSCSI and TensorFlow use it.
uint32_t crc32c(std::string_view bytes);
/// An event with its lengths and checksums around it.
std::string event_record(std::string_view event);

}  // namespace athanor::observe
