#include "data/shards/file_pool.h"

#include "core/error.h"

namespace athanor::data {

std::shared_ptr<const core::ReadableFile> FilePool::open(const std::string& path, uint64_t expected_bytes) {
  const std::lock_guard lock(mutex_);
  if (const auto known = entry_of_.find(path); known != entry_of_.end()) {
    by_last_use_.splice(by_last_use_.begin(), by_last_use_, known->second);
    return known->second->second;
  }
  std::shared_ptr<const core::ReadableFile> file = fs_.open(path);
  if (file->size() != expected_bytes)
    throw core::DataError("{}: has {} bytes, had {} before: it was changed while in use", path, file->size(),
                          expected_bytes);
  by_last_use_.emplace_front(path, file);
  entry_of_[path] = by_last_use_.begin();
  if (by_last_use_.size() > max_open_files_) {
    entry_of_.erase(by_last_use_.back().first);
    by_last_use_.pop_back();
  }
  return file;
}

void FilePool::forget(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto known = entry_of_.find(path);
  if (known == entry_of_.end()) return;
  by_last_use_.erase(known->second);
  entry_of_.erase(known);
}

}  // namespace athanor::data
