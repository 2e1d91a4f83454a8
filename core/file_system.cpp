#include "core/file_system.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <glob.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "core/error.h"
#include "core/output_files.h"

namespace athanor::core {
namespace {

std::string reason(int error) {
  return std::generic_category().message(error);
}

[[noreturn]] void throw_open_error(const char* what, const std::string& path, int error, bool writing) {
  if (!writing && (error == ENOENT || error == ENOTDIR))
    throw MissingInputError("{}: no such file; check the path", path);
  if (!writing && error == EISDIR) throw DataError("{}: a file was expected, this is a directory", path);
  if (!writing && (error == EACCES || error == EPERM || error == ELOOP || error == ENAMETOOLONG))
    throw MissingInputError("{}: cannot be opened: {}; check the path", path, reason(error));
  if (writing && error != EIO && error != ENOSPC && error != EDQUOT)
    throw CannotWriteError("cannot {} {}: {}", what, path, reason(error));
  throw IoError("cannot {} {}: {}", what, path, reason(error));
}

class PosixWritableFile : public WritableFile {
 public:
  PosixWritableFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~PosixWritableFile() override {
    if (fd_ >= 0) ::close(fd_);
  }

  using WritableFile::append;
  void append(std::span<const std::byte> bytes) override {
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd_, bytes.data(), std::min<size_t>(bytes.size(), size_t{1} << 30));
      if (written < 0) {
        if (errno == EINTR) continue;
        throw IoError("cannot write {}: {}", path_, reason(errno));
      }
      bytes = bytes.subspan(static_cast<size_t>(written));
    }
  }

  void sync() override {
    if (::fdatasync(fd_) != 0) throw IoError("cannot sync {} to disk: {}", path_, reason(errno));
  }

  void close() override {
    const int fd = std::exchange(fd_, -1);
    if (fd >= 0 && ::close(fd) != 0 && errno != EINTR)
      throw IoError("cannot close {}: {}", path_, reason(errno));
  }

 private:
  int fd_;
  std::string path_;
};

class PosixReadableFile : public ReadableFile {
 public:
  PosixReadableFile(int fd, uint64_t size, std::string path) : fd_(fd), size_(size), path_(std::move(path)) {}
  ~PosixReadableFile() override { ::close(fd_); }
  uint64_t size() const override { return size_; }

  void read(uint64_t offset, std::span<std::byte> out) const override {
    while (!out.empty()) {
      const ssize_t got =
          ::pread(fd_, out.data(), std::min<size_t>(out.size(), size_t{1} << 30), static_cast<off_t>(offset));
      if (got < 0) {
        if (errno == EINTR) continue;
        throw IoError("cannot read {} at byte {}: {}", path_, offset, reason(errno));
      }
      if (got == 0) throw DataError("{}: ends at byte {}, {} more were expected", path_, offset, out.size());
      offset += static_cast<uint64_t>(got);
      out = out.subspan(static_cast<size_t>(got));
    }
  }

 private:
  int fd_;
  uint64_t size_;
  std::string path_;
};

class PosixInputStream : public InputStream {
 public:
  PosixInputStream(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~PosixInputStream() override { ::close(fd_); }

  size_t read(std::span<std::byte> out) override {
    for (;;) {
      const ssize_t got = ::read(fd_, out.data(), std::min<size_t>(out.size(), size_t{1} << 30));
      if (got >= 0) return static_cast<size_t>(got);
      if (errno != EINTR) throw IoError("cannot read {}: {}", path_, reason(errno));
    }
  }

 private:
  int fd_;
  std::string path_;
};

struct stat stat_of(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) info.st_mode = 0;
  return info;
}

class PosixFileSystem : public FileSystem {
 public:
  std::unique_ptr<WritableFile> create(const std::string& path) override {
    return open_for_writing(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC);
  }
  std::unique_ptr<WritableFile> open_append(const std::string& path) override {
    return open_for_writing(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC);
  }

  std::unique_ptr<ReadableFile> open(const std::string& path) override {
    // Not waiting for the writer of a pipe, which is refused.
    const int fd = open_for_reading(path, O_NONBLOCK);
    const struct stat info = stat_of(fd);
    if (S_ISREG(info.st_mode))
      return std::make_unique<PosixReadableFile>(fd, static_cast<uint64_t>(info.st_size), path);
    ::close(fd);
    throw DataError("{}: a file was expected, this is a device or a pipe; write its content to a file first",
                    path);
  }
  std::unique_ptr<InputStream> open_stream(const std::string& path) override {
    const bool is_standard_input = path == "-";
    const int fd = is_standard_input ? ::dup(STDIN_FILENO) : open_for_reading(path, 0);
    if (fd < 0) throw IoError("cannot read the standard input: {}", reason(errno));
    return std::make_unique<PosixInputStream>(fd, is_standard_input ? "the standard input" : path);
  }

  void rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0)
      throw_open_error("rename", fmt::format("{} to {}", from, to), errno, true);
  }
  void create_directories(const std::string& path) override {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) throw_open_error("create the directory", path, error.value(), true);
  }
  void sync_directory(const std::string& path) override {
    const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) throw IoError("cannot open the directory {}: {}", path, reason(errno));
    const int result = ::fsync(fd);
    const int error = errno;
    ::close(fd);
    if (result != 0) throw IoError("cannot sync the directory {}: {}", path, reason(error));
  }
  void remove_all(const std::string& path) override {
    std::error_code error;
    std::filesystem::remove_all(path, error);
    if (error) throw_open_error("remove", path, error.value(), true);
  }
  void truncate(const std::string& path, uint64_t size) override {
    if (::truncate(path.c_str(), static_cast<off_t>(size)) != 0)
      throw_open_error("truncate", path, errno, true);
  }
  bool exists(const std::string& path) override {
    std::error_code error;
    return std::filesystem::exists(path, error);
  }
  bool is_directory(const std::string& path) override {
    std::error_code error;
    return std::filesystem::is_directory(path, error);
  }
  std::vector<std::string> list(const std::string& path) override {
    std::error_code error;
    std::vector<std::string> names;
    for (std::filesystem::directory_iterator it(path, error), end; !error && it != end; it.increment(error))
      names.push_back(it->path().filename().string());
    if (error) throw_open_error("list", path, error.value(), false);
    std::sort(names.begin(), names.end());
    return names;
  }
  uint64_t file_size(const std::string& path) override {
    std::error_code error;
    const uint64_t size = std::filesystem::file_size(path, error);
    if (error) throw_open_error("open", path, error.value(), false);
    return size;
  }
  uint64_t free_bytes(const std::string& path) override {
    struct statvfs info {};
    if (::statvfs(path.c_str(), &info) != 0)
      throw IoError("cannot ask for the free space at {}: {}", path, reason(errno));
    return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  }

 private:
  static int open_for_reading(const std::string& path, int flags) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags);
    if (fd < 0) throw_open_error("open", path, errno, false);
    if (!S_ISDIR(stat_of(fd).st_mode)) return fd;
    ::close(fd);
    throw_open_error("open", path, EISDIR, false);
  }
  static std::unique_ptr<WritableFile> open_for_writing(const std::string& path, int flags) {
    const int fd = ::open(path.c_str(), flags, 0666);
    if (fd < 0) throw_open_error("create", path, errno, true);
    return std::make_unique<PosixWritableFile>(fd, path);
  }
};

std::string parent_directory(const std::string& path) {
  const auto parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

// What can be read at any offset, from its start to its end.
class FileStream : public InputStream {
 public:
  explicit FileStream(std::unique_ptr<ReadableFile> file) : file_(std::move(file)) {}
  size_t read(std::span<std::byte> out) override {
    const auto part = out.first(std::min<uint64_t>(out.size(), file_->size() - offset_));
    file_->read(offset_, part);
    offset_ += part.size();
    return part.size();
  }

 private:
  std::unique_ptr<ReadableFile> file_;
  uint64_t offset_ = 0;
};

}  // namespace

std::unique_ptr<InputStream> FileSystem::open_stream(const std::string& path) {
  return std::make_unique<FileStream>(open(path));
}

std::unique_ptr<FileSystem> make_posix_file_system() {
  return std::make_unique<PosixFileSystem>();
}

FileSystem& posix_file_system() {
  static PosixFileSystem instance;
  return instance;
}

std::string read_text_file(FileSystem& fs, const std::string& path, uint64_t max_bytes) {
  constexpr size_t kPieceBytes = size_t{1} << 16;
  const auto stream = fs.open_stream(path);
  std::string text;
  for (;;) {
    const size_t before = text.size();
    text.resize(before + kPieceBytes);
    const size_t got = stream->read(std::as_writable_bytes(std::span(text.data() + before, kPieceBytes)));
    text.resize(before + got);
    if (text.size() > max_bytes)
      throw DataError("{}: more than the {} bytes allowed for this kind of file", path, max_bytes);
    if (got == 0) return text;
  }
}

void write_file_atomically(FileSystem& fs, const std::string& path, std::string_view content) {
  const UnfinishedOutput unfinished = begin_output(path);
  const std::string& temporary = unfinished.path();
  try {
    auto file = fs.create(temporary);
    file->append(content);
    file->sync();
    file->close();
    fs.rename(temporary, path);
  } catch (...) {
    try {
      fs.remove_all(temporary);
    } catch (const Error&) {  // the first error is the one to report
    }
    throw;
  }
  fs.sync_directory(parent_directory(path));
}

std::vector<std::string> glob(const std::string& pattern) {
  glob_t result{};
  std::vector<std::string> paths;
  if (::glob(pattern.c_str(), GLOB_TILDE, nullptr, &result) == 0)
    paths.assign(result.gl_pathv, result.gl_pathv + result.gl_pathc);
  ::globfree(&result);
  return paths;
}

}  // namespace athanor::core
