#include "core/output_files.h"

#include <chrono>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <sys/stat.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>

#include "core/error.h"

namespace athanor::core {
namespace {

namespace stdfs = std::filesystem;

struct Registry {
  std::mutex mutex;
  std::multiset<std::string> paths;
};

// Never destroyed: a signal may come while the program ends.
Registry& registry() {
  static auto* const instance = new Registry;
  return *instance;
}

// Equal for two names of one file, also of one that is not there yet.
std::string identity_of(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0) return fmt::format("{}:{}", info.st_dev, info.st_ino);
  std::error_code ignored;
  return stdfs::weakly_canonical(stdfs::absolute(path, ignored), ignored).string();
}

// A directory may be shared with other ranks of a job, which are being stopped as well but may still write
// there.
void remove_until_gone(const std::string& path) {
  constexpr int kMaxTries = 50;
  constexpr auto kPause = std::chrono::milliseconds(20);
  std::error_code ignored;
  for (int tries = 0; tries < kMaxTries; ++tries) {
    stdfs::remove_all(path, ignored);
    if (!stdfs::exists(path, ignored)) return;
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace

std::string temporary_name(const std::string& path) {
  return fmt::format("{}.{}.tmp", path, ::getpid());
}

UnfinishedOutput::UnfinishedOutput(std::string path) : path_(std::move(path)) {
  std::lock_guard lock(registry().mutex);
  registry().paths.insert(path_);
}

UnfinishedOutput::~UnfinishedOutput() {
  std::lock_guard lock(registry().mutex);
  registry().paths.extract(path_);  // one of those of this name
}

void check_replaceable(const std::string& path) {
  std::error_code ignored;  // creating the file will say it
  const stdfs::file_status status = stdfs::status(path, ignored);
  if (stdfs::is_directory(status)) throw CannotWriteError("{}: is a directory; name a file to write", path);
  if (stdfs::is_other(status))
    throw CannotWriteError("{}: is a device or a pipe; name a regular file, or one that is not there yet",
                           path);
}

UnfinishedOutput begin_output(const std::string& path) {
  check_replaceable(path);
  return UnfinishedOutput(temporary_name(path));
}

void discard_unfinished_outputs() {
  registry().mutex.lock();  // for ever
  for (const std::string& path : registry().paths) remove_until_gone(path);
}

std::string find_overwritten(const std::vector<std::string>& inputs,
                             const std::vector<std::string>& outputs) {
  const auto is_file = [](const std::string& path) { return !path.empty() && path != "-"; };
  std::map<std::string, std::string> known;  // by identity: what it is
  for (const std::string& input : inputs)
    if (is_file(input)) known.emplace(identity_of(input), "input " + input);
  for (const std::string& output : outputs) {
    if (!is_file(output)) continue;
    const auto [other, is_new] = known.emplace(identity_of(output), "output " + output);
    if (!is_new)
      return fmt::format("the output {} is the same file as the {}; give it another name", output,
                         other->second);
  }
  return "";
}

}  // namespace athanor::core
