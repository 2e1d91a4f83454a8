#include "tests/support/faulty_file_system.h"

#include <utility>

#include "core/error.h"

namespace athanor::tests {

class FaultyWritableFile : public core::WritableFile {
 public:
  FaultyWritableFile(FaultyFileSystem& fs, std::unique_ptr<core::WritableFile> base, std::string path)
      : fs_(fs), base_(std::move(base)), path_(std::move(path)) {}

  void append(std::span<const std::byte> bytes) override {
    const std::string what = "append to " + path_;
    if (!fs_.must_fail(what)) return base_->append(bytes);
    if (fs_.plan_.fault == Fault::kShortWrite) base_->append(bytes.first(bytes.size() / 2));
    fs_.fail(what);
  }
  void sync() override {
    fs_.step("sync " + path_);
    base_->sync();
  }
  void close() override {
    fs_.step("close " + path_);
    base_->close();
  }

 private:
  FaultyFileSystem& fs_;
  std::unique_ptr<core::WritableFile> base_;
  std::string path_;
};

class FaultyReadableFile : public core::ReadableFile {
 public:
  FaultyReadableFile(FaultyFileSystem& fs, std::unique_ptr<core::ReadableFile> base, std::string path)
      : fs_(fs), base_(std::move(base)), path_(std::move(path)) {}

  uint64_t size() const override { return base_->size(); }
  void read(uint64_t offset, std::span<std::byte> out) const override {
    if (fs_.fail_reads_) throw core::IoError("cannot read {} at byte {}: Input/output error", path_, offset);
    base_->read(offset, out);
  }

 private:
  FaultyFileSystem& fs_;
  std::unique_ptr<core::ReadableFile> base_;
  std::string path_;
};

uint64_t FaultyFileSystem::num_operations() const {
  std::lock_guard lock(mutex_);
  return operations_.size();
}

std::vector<std::string> FaultyFileSystem::operations() const {
  std::lock_guard lock(mutex_);
  return operations_;
}

void FaultyFileSystem::heal() {
  std::lock_guard lock(mutex_);
  plan_.fault = Fault::kNone;
}

bool FaultyFileSystem::must_fail(const std::string& what) {
  std::lock_guard lock(mutex_);
  const uint64_t index = operations_.size();
  operations_.push_back(what);
  const bool fails = plan_.fault != Fault::kNone &&
                     (plan_.stays_broken ? index >= plan_.first_operation : index == plan_.first_operation);
  if (fails) has_failed_ = true;
  return fails;
}

void FaultyFileSystem::step(const std::string& what) {
  if (must_fail(what)) fail(what);
}

void FaultyFileSystem::fail(const std::string& what) const {
  throw core::IoError("cannot {}: {}", what,
                      plan_.fault == Fault::kIoError ? "Input/output error" : "No space left on device");
}

std::unique_ptr<core::WritableFile> FaultyFileSystem::create(const std::string& path) {
  step("create " + path);
  return std::make_unique<FaultyWritableFile>(*this, base_.create(path), path);
}

std::unique_ptr<core::WritableFile> FaultyFileSystem::open_append(const std::string& path) {
  step("open for appending " + path);
  return std::make_unique<FaultyWritableFile>(*this, base_.open_append(path), path);
}

std::unique_ptr<core::ReadableFile> FaultyFileSystem::open(const std::string& path) {
  return std::make_unique<FaultyReadableFile>(*this, base_.open(path), path);
}

void FaultyFileSystem::rename(const std::string& from, const std::string& to) {
  step("rename " + from + " to " + to);
  base_.rename(from, to);
}

void FaultyFileSystem::create_directories(const std::string& path) {
  step("create the directory " + path);
  base_.create_directories(path);
}

void FaultyFileSystem::sync_directory(const std::string& path) {
  step("sync the directory " + path);
  base_.sync_directory(path);
}

void FaultyFileSystem::remove_all(const std::string& path) {
  step("remove " + path);
  base_.remove_all(path);
}

void FaultyFileSystem::truncate(const std::string& path, uint64_t size) {
  step("truncate " + path);
  base_.truncate(path, size);
}

uint64_t FaultyFileSystem::free_bytes(const std::string& path) {
  return free_bytes_ == UINT64_MAX ? base_.free_bytes(path) : free_bytes_.load();
}

}  // namespace athanor::tests
