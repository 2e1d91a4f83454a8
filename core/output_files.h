// Outputs: what they may replace, and what becomes of them when the process is stopped before they are whole.
#pragma once

#include <string>
#include <vector>

namespace athanor::core {

/// The name under which `path` is written before it is renamed.
std::string temporary_name(const std::string& path);

/// A file or directory being written under a temporary name. While this object lives,
/// `discard_unfinished_outputs` removes what is there; the destructor only forgets it. Thread-safe.
class UnfinishedOutput {
 public:
  explicit UnfinishedOutput(std::string path);
  ~UnfinishedOutput();
  UnfinishedOutput(const UnfinishedOutput&) = delete;
  UnfinishedOutput& operator=(const UnfinishedOutput&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// Throws CannotWriteError when renaming onto `path` would replace anything but a regular file: a device, a
/// pipe, a directory (links are followed).
void check_replaceable(const std::string& path);

/// The temporary name of `path`, which is checked.
UnfinishedOutput begin_output(const std::string& path);

/// For a process that is about to end: removes every unfinished output. From then on a thread that begins or
/// gives up another one waits for the end.
void discard_unfinished_outputs();

/// What is wrong when an output is the same file as an input or as another output; empty: nothing. Empty
/// names and `-` stand for no file.
std::string find_overwritten(const std::vector<std::string>& inputs, const std::vector<std::string>& outputs);

}  // namespace athanor::core
