#include "checkpoints/checkpoint_directory.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <random>
#include <string_view>
#include <sys/file.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "checkpoints/bounded_json.h"
#include "checkpoints/checkpoint_reader.h"
#include "checkpoints/file_names.h"
#include "core/error.h"
#include "core/log.h"

namespace athanor::checkpoints {
namespace {

constexpr std::string_view kPrefix = "step-";
constexpr std::string_view kLockName = ".writer.lock";

std::string holder_of(int fd) {
  std::array<char, 256> text{};
  const ssize_t got = ::pread(fd, text.data(), text.size(), 0);
  if (got <= 0) return "another process";
  return printable(std::string_view(text.data(), static_cast<size_t>(got)));
}

void sign(int fd) {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  const std::string text = fmt::format("process {} on {}", ::getpid(), host.data());
  // Who holds the lock is a courtesy to the reader of a message; the lock itself does not depend on it.
  if (::ftruncate(fd, 0) == 0 && ::pwrite(fd, text.data(), text.size(), 0) < 0)
    core::log::debug("cannot write to {}: {}", kLockName, std::strerror(errno));
}

// "step-00000120.tmp-4f" -> {"step-00000120", "tmp"}; nothing for other names.
std::optional<std::pair<std::string, std::string>> leftover_of(const std::string& name) {
  const size_t dot = name.find('.');
  if (dot == std::string::npos || !step_of_name(name.substr(0, dot))) return std::nullopt;
  for (const std::string_view kind : {"tmp", "removed", "replaced"})
    if (std::string_view(name).substr(dot + 1).starts_with(fmt::format("{}-", kind)))
      return std::pair(name.substr(0, dot), std::string(kind));
  return std::nullopt;
}

bool is_good(core::FileSystem& fs, const std::string& path) {
  try {
    CheckpointReader(fs, path, Verify::kSizes);
    return true;
  } catch (const core::Error& error) {
    core::log::warning("{} does not count as a kept checkpoint: {}", path, error.what());
    return false;
  }
}

}  // namespace

std::string checkpoint_name(uint64_t step) {
  return fmt::format("{}{:08d}", kPrefix, step);
}

std::optional<uint64_t> step_of_name(const std::string& name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const char* const begin = name.data() + kPrefix.size();
  const char* const end = name.data() + name.size();
  int64_t step = 0;
  const auto result = std::from_chars(begin, end, step);
  const bool is_number = begin != end && *begin != '-' && result.ec == std::errc() && result.ptr == end;
  return is_number ? std::optional<uint64_t>(step) : std::nullopt;
}

std::vector<CheckpointEntry> list_checkpoints(core::FileSystem& fs, const std::string& directory) {
  std::vector<CheckpointEntry> entries;
  if (!fs.exists(directory)) return entries;
  for (const std::string& name : fs.list(directory))
    if (const auto step = step_of_name(name); step && fs.is_directory(directory + "/" + name))
      entries.push_back({*step, directory + "/" + name});
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return a.step < b.step; });
  return entries;
}

DirectoryLock::DirectoryLock(const std::string& directory, const char* option) : directory_(directory) {
  create_durable_directories(core::posix_file_system(), directory);
  const std::string path = fmt::format("{}/{}", directory, kLockName);
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd_ < 0) throw core::CannotWriteError("cannot write into {}: {}", directory, std::strerror(errno));
  is_exclusive_ = ::flock(fd_, LOCK_EX | LOCK_NB) == 0;
  const int error = errno;
  if (!is_exclusive_ && error == EWOULDBLOCK) {
    const std::string holder = holder_of(fd_);
    ::close(fd_);
    throw core::CannotWriteError("{} is in use: {} writes there; stop it, or choose another {}", directory,
                                 holder, option);
  }
  if (is_exclusive_)
    sign(fd_);
  else
    core::log::warning("{}: no lock ({}): nothing keeps a second run from writing here", directory,
                       std::strerror(error));
}

DirectoryLock::~DirectoryLock() {
  if (fd_ >= 0) ::close(fd_);
}

std::vector<std::string> clean_leftovers(core::FileSystem& fs, const DirectoryLock& lock) {
  if (!lock.is_exclusive()) return {};
  return clean_leftovers(fs, lock.directory());
}

std::vector<std::string> clean_leftovers(core::FileSystem& fs, const std::string& directory) {
  std::vector<std::string> names;
  for (const std::string& name : fs.list(directory)) {
    const auto leftover = leftover_of(name);
    if (!leftover) continue;
    const std::string path = directory + "/" + name, final_path = directory + "/" + leftover->first;
    if (leftover->second == "replaced" && !fs.exists(final_path))
      fs.rename(path, final_path);
    else
      fs.remove_all(path);
    names.push_back(name);
  }
  if (!names.empty()) fs.sync_directory(directory);
  return names;
}

void remove_checkpoint(core::FileSystem& fs, const std::string& path, const std::string& id) {
  const std::string removed = fmt::format("{}.removed-{}", path, id);
  fs.rename(path, removed);
  fs.sync_directory(parent_directory(path));
  fs.remove_all(removed);
}

std::string put_aside(core::FileSystem& fs, const std::string& path, const std::string& id) {
  const std::string aside = fmt::format("{}.aside-{}", path, id);
  fs.rename(path, aside);
  fs.sync_directory(parent_directory(path));
  return aside;
}

std::vector<std::string> prune(core::FileSystem& fs, const std::string& directory, uint64_t num_to_keep,
                               const std::string& id) {
  std::vector<std::string> removed;
  const auto entries = list_checkpoints(fs, directory);
  if (num_to_keep == 0 || entries.size() <= num_to_keep) return removed;
  size_t oldest_kept = entries.size();
  for (uint64_t num_good = 0; num_good < num_to_keep && oldest_kept > 0;)
    if (is_good(fs, entries[--oldest_kept].path)) ++num_good;
  for (size_t i = 0; i < oldest_kept; ++i) {
    remove_checkpoint(fs, entries[i].path, id);
    removed.push_back(entries[i].path);
  }
  return removed;
}

std::string make_id() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}", device(), device());
}

}  // namespace athanor::checkpoints
