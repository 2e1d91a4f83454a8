// The one door to the disk. Every write of the program goes through this interface, so that tests can fail
// any of them; reading goes through it wherever a fault must be survivable.
//
// Durability rule: a file is durable after `WritableFile::sync` returned, a name after `sync_directory` of
// its parent did. After a failed sync the file is dead: its content must be written again under another name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace athanor::core {

/// A file being written from its start. Closing (also by the destructor) does not sync.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  /// Appends all bytes or throws IoError (disk full, EIO).
  virtual void append(std::span<const std::byte> bytes) = 0;
  /// Returns when content and size are on disk.
  virtual void sync() = 0;
  /// Reports what a destructor would have to swallow.
  virtual void close() = 0;

  void append(std::string_view text) { append(std::as_bytes(std::span(text.data(), text.size()))); }
};

/// A file open for reading at any offset. Thread-safe.
class ReadableFile {
 public:
  virtual ~ReadableFile() = default;
  virtual uint64_t size() const = 0;
  /// Fills `out` from `offset`; throws DataError when the file ends before, IoError when the read fails.
  virtual void read(uint64_t offset, std::span<std::byte> out) const = 0;
};

/// Something open for reading once, from its start to its end: a file, a pipe or a device.
class InputStream {
 public:
  virtual ~InputStream() = default;
  /// Fills some of `out` (not empty) and returns how much; 0 at the end. IoError when the read fails.
  virtual size_t read(std::span<std::byte> out) = 0;
};

/// Errors: MissingInputError (no such file on reading), CannotWriteError (creating, renaming, permission),
/// IoError (everything else); each names the path and the reason.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  /// Creates or truncates.
  virtual std::unique_ptr<WritableFile> create(const std::string& path) = 0;
  /// Opens for appending, creating when missing.
  virtual std::unique_ptr<WritableFile> open_append(const std::string& path) = 0;
  /// DataError for what cannot be read at any offset: a directory, a pipe, a device.
  virtual std::unique_ptr<ReadableFile> open(const std::string& path) = 0;
  /// `-` is the standard input. Waits for a writer when `path` is a named pipe without one. DataError for a
  /// directory.
  virtual std::unique_ptr<InputStream> open_stream(const std::string& path);
  /// Atomic; replaces a file, refuses to replace a directory that is not empty.
  virtual void rename(const std::string& from, const std::string& to) = 0;
  /// Parents included; an existing directory is fine.
  virtual void create_directories(const std::string& path) = 0;
  /// Makes the names inside `path` durable.
  virtual void sync_directory(const std::string& path) = 0;
  /// Removes a file, or a directory and all in it; missing is fine.
  virtual void remove_all(const std::string& path) = 0;
  virtual void truncate(const std::string& path, uint64_t size) = 0;
  virtual bool exists(const std::string& path) = 0;
  virtual bool is_directory(const std::string& path) = 0;
  /// Names (not paths) in a directory, sorted.
  virtual std::vector<std::string> list(const std::string& path) = 0;
  virtual uint64_t file_size(const std::string& path) = 0;
  /// Bytes that an unprivileged writer may still use below `path`.
  virtual uint64_t free_bytes(const std::string& path) = 0;
};

/// The machine's file system. Stateless: one object may serve every thread.
std::unique_ptr<FileSystem> make_posix_file_system();

/// The shared POSIX file system, for code that has no reason to be given another.
FileSystem& posix_file_system();

/// All that a file or a pipe holds; throws DataError when it is more than `max_bytes`.
std::string read_text_file(FileSystem& fs, const std::string& path, uint64_t max_bytes);

/// Writes beside `path`, syncs, renames onto it and syncs the directory: readers see the old or the new file,
/// whole.
void write_file_atomically(FileSystem& fs, const std::string& path, std::string_view content);

/// Files matching a pattern with `*` and `?` in its last components, sorted by name; a plain path matches
/// itself.
std::vector<std::string> glob(const std::string& pattern);

}  // namespace athanor::core
