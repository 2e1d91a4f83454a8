#include "checkpoints/file_names.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "checkpoints/bounded_json.h"
#include "core/error.h"

namespace athanor::checkpoints {
namespace {

namespace stdfs = std::filesystem;
constexpr size_t kMaxNameBytes = 255;

bool is_inside(const stdfs::path& path, const stdfs::path& directory) {
  const auto [mismatch, ignored] =
      std::mismatch(directory.begin(), directory.end(), path.begin(), path.end());
  return mismatch == directory.end();
}

// Where a downloaded snapshot keeps its content: snapshots/REVISION -> blobs.
stdfs::path blobs_beside(const stdfs::path& directory) {
  const stdfs::path snapshots = directory.parent_path();
  return snapshots.filename() == "snapshots" ? snapshots.parent_path() / "blobs" : stdfs::path();
}

}  // namespace

bool is_plain_file_name(std::string_view name) {
  if (name.empty() || name == "." || name == ".." || name.size() > kMaxNameBytes) return false;
  return std::none_of(name.begin(), name.end(), [](char c) {
    return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
}

std::string parent_directory(const std::string& path) {
  const auto parent = stdfs::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

void create_durable_directories(core::FileSystem& fs, const std::string& path) {
  std::vector<std::string> created;
  for (std::string at = path; !fs.exists(at); at = parent_directory(at)) created.push_back(at);
  fs.create_directories(path);
  for (const std::string& directory : created) fs.sync_directory(parent_directory(directory));
}

bool is_symbolic_link(const std::string& path) {
  std::error_code error;
  return stdfs::is_symlink(stdfs::symlink_status(path, error));
}

void check_link_stays_inside(const std::string& directory, const std::string& name) {
  const std::string path = directory + "/" + name;
  if (!is_symbolic_link(path)) return;
  std::error_code error;
  const stdfs::path target = stdfs::canonical(path, error);
  if (error) throw core::DataError("{}: a symbolic link that leads nowhere: {}", path, error.message());
  const stdfs::path inside = stdfs::canonical(directory, error);
  const stdfs::path blobs = blobs_beside(inside);
  if (is_inside(target, inside) || (!blobs.empty() && is_inside(target, blobs))) return;
  throw core::DataError("{}: a symbolic link out of its directory, to {}; copy the file here if it is meant",
                        path, printable(target.string()));
}

}  // namespace athanor::checkpoints
