// A directory of a test, empty at the start and gone at the end.
#pragma once

#include <filesystem>
#include <string>
#include <unistd.h>

#include "core/file_system.h"

namespace athanor::tests {

class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const std::string& name)
      : path_(std::filesystem::temp_directory_path() /
              ("athanor-" + name + "-" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }

  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::string write(const std::string& name, const std::string& content) const {
    core::write_file_atomically(core::posix_file_system(), *this / name, content);
    return *this / name;
  }
  std::string read(const std::string& name) const {
    return core::read_text_file(core::posix_file_system(), *this / name, uint64_t{1} << 30);
  }
  /// Names in the directory.
  size_t num_files() const {
    return static_cast<size_t>(
        std::distance(std::filesystem::directory_iterator(path_), std::filesystem::directory_iterator()));
  }

 private:
  std::filesystem::path path_;
};

}  // namespace athanor::tests
