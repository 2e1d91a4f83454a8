#include "data/shards/hdf5_handle.h"

#include <cstdlib>
#include <system_error>

namespace athanor::data {
namespace {

herr_t keep_description(unsigned, const H5E_error2_t* entry, void* text) {
  if (entry->desc && *entry->desc) *static_cast<std::string*>(text) = entry->desc;
  return 0;
}

// What a failed system call leaves is a line of the library's internals: file descriptors, buffers, and the
// error's number.
std::string in_words(const std::string& description) {
  static constexpr std::string_view kErrno = ", errno = ";
  const size_t found = description.rfind(kErrno);
  if (found == std::string::npos) return description;
  return std::generic_category().message(std::atoi(description.c_str() + found + kErrno.size()));
}

}  // namespace

std::unique_lock<std::mutex> lock_hdf5() {
  static std::mutex mutex;  // the library's own state is as global
  std::unique_lock lock(mutex);
  // A file that could not be flushed (disk full) would make the library's exit handler try again, loudly.
  static const bool is_quiet = H5dont_atexit() >= 0;
  static_cast<void>(is_quiet);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  return lock;
}

std::string hdf5_reason() {
  std::string reason = "no reason given";
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, keep_description, &reason);
  return in_words(reason);
}

}  // namespace athanor::data
