// Writes a text file, compressed when its name says so (.gz, .zst), under a temporary name until it is
// complete.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/file_system.h"

namespace athanor::text {

/// A file that appears under its name with `commit`, whole and on disk, or not at all.
class TextWriter {
 public:
  /// Creates the temporary file beside `path`, and the directories above it.
  TextWriter(core::FileSystem& fs, const std::string& path);
  /// Removes the temporary file when `commit` was not reached.
  ~TextWriter();
  TextWriter(TextWriter&&) noexcept;

  void append(std::string_view bytes);
  /// Flushes, syncs, renames onto the path and syncs the directory.
  void commit();
  /// Bytes given to `append`.
  uint64_t num_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace athanor::text
