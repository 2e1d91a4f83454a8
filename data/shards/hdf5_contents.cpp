#include "data/shards/hdf5_contents.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <optional>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

#include "core/error.h"
#include "core/json.h"
#include "data/shards/hdf5_handle.h"
#include "data/shards/hdf5_probe.h"

namespace athanor::data {
namespace {

using core::DataError;
using core::IoError;
using nlohmann::json;

constexpr size_t kMaxReportBytes = size_t{64} << 20;
constexpr rlim_t kMaxProbeSeconds = 30;
constexpr rlim_t kMaxProbeBytes = rlim_t{1} << 30;

struct Question {
  std::span<const std::string> paths;
  std::vector<uint64_t> file_bytes;
  std::span<const std::string_view> datasets;
  std::span<const std::string_view> attributes;
};

// ---- the child: one line of JSON per file
// -----------------------------------------------------------------------

json to_json(const DatasetLayout& layout) {
  json extents = json::array();
  for (const Extent& extent : layout.extents)
    extents.push_back({extent.first_element, extent.num_elements, extent.file_offset});
  return {{"kind", static_cast<int>(layout.kind)},
          {"element_bytes", layout.element_bytes},
          {"num_elements", layout.num_elements},
          {"extents", std::move(extents)}};
}

json to_json(const Hdf5Contents& contents) {
  json datasets = json::object(), attributes = json::object();
  for (const auto& [name, layout] : contents.datasets) datasets[name] = to_json(layout);
  for (const auto& [name, value] : contents.attributes)
    std::visit([&, &key = name](const auto& v) { attributes[key] = v; }, value);
  return {{"hdf5_bytes", contents.hdf5_bytes},
          {"datasets", std::move(datasets)},
          {"attributes", std::move(attributes)}};
}

json probe_or_error(const Question& question, size_t index) {
  try {
    return to_json(probe_hdf5(question.paths[index], question.file_bytes[index], question.datasets,
                              question.attributes));
  } catch (const core::Error& error) {
    return {{"error", error.what()}};
  }
}

bool write_line(int fd, std::string line) {
  line += '\n';
  for (size_t written = 0; written < line.size();) {
    const ssize_t count = ::write(fd, line.data() + written, line.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    written += static_cast<size_t>(count);
  }
  return true;
}

uint64_t data_bytes_in_use() {
  std::array<char, 256> text{};
  const int fd = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  if (::read(fd, text.data(), text.size() - 1) < 0) text[0] = '\0';
  ::close(fd);
  unsigned long long data_pages = 0;
  std::sscanf(text.data(), "%*u %*u %*u %*u %*u %llu", &data_pages);
  return data_pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

void limit(int resource, rlim_t value) {
  rlimit now{};
  ::getrlimit(static_cast<__rlimit_resource_t>(resource), &now);
  now.rlim_cur = std::min(value, now.rlim_max);
  ::setrlimit(static_cast<__rlimit_resource_t>(resource), &now);
}

/// A crash in the child is an answer: it must be quick, silent, and leave nothing behind.
void confine_child(pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  for (const int number : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGPIPE, SIGXCPU})
    ::signal(number, SIG_DFL);
  // Ctrl-C is for the parent to answer; when that dies, so does this process.
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) ::signal(number, SIG_IGN);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_DATA, data_bytes_in_use() + kMaxProbeBytes);
  const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere >= 0) ::dup2(nowhere, STDERR_FILENO);
}

void restart_time_limit() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  limit(RLIMIT_CPU,
        static_cast<rlim_t>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + 1 + kMaxProbeSeconds);
}

[[noreturn]] void run_child(const Question& question, int fd, pid_t parent) {
  confine_child(parent);
  try {
    for (size_t index = 0; index < question.paths.size(); ++index) {
      restart_time_limit();
      const json report = probe_or_error(question, index);
      if (!write_line(fd, report.dump(-1, ' ', false, json::error_handler_t::replace))) break;
      if (report.contains("error")) break;
    }
  } catch (...) {  // out of memory: the missing line tells the parent
  }
  ::_exit(0);
}

// ---- the parent: believes no number it has not checked
// -------------------------------------------------------------

/// The child process and the pipe it reports through.
class Child {
 public:
  explicit Child(const Question& question) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_no_child();
    const pid_t parent = ::getpid();
    {
      const auto lock = lock_hdf5();  // no other thread is inside the library while the process is copied
      pid_ = ::fork();
    }
    if (pid_ == 0) run_child(question, ends[1], parent);
    ::close(ends[1]);
    fd_ = ends[0];
    if (pid_ < 0) {
      ::close(fd_);
      throw_no_child();
    }
  }
  ~Child() {
    ::close(fd_);
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    wait();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// The next line, or nothing when the child has ended or says too much.
  std::optional<std::string> read_line() {
    for (;;) {
      if (const size_t end = pending_.find('\n', searched_); end != std::string::npos) return take_line(end);
      searched_ = pending_.size();
      if (pending_.size() > kMaxReportBytes || !read_more()) return std::nullopt;
    }
  }

  /// How the child ended, in words.
  std::string wait() {
    if (pid_ <= 0) return "the library ended";
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    if (WIFSIGNALED(status))
      return WTERMSIG(status) == SIGXCPU ? "the library took too long" : "the library crashed";
    return "the library ran out of memory";
  }

 private:
  [[noreturn]] static void throw_no_child() {
    throw IoError("cannot start a process to look at HDF5 files: {}", std::generic_category().message(errno));
  }

  std::string take_line(size_t end) {
    std::string line = pending_.substr(0, end);
    pending_.erase(0, end + 1);
    searched_ = 0;
    return line;
  }

  bool read_more() {
    std::array<char, 65536> block;
    ssize_t count = 0;
    do {
      count = ::read(fd_, block.data(), block.size());
    } while (count < 0 && errno == EINTR);
    if (count > 0) pending_.append(block.data(), static_cast<size_t>(count));
    return count > 0;
  }

  pid_t pid_ = -1;
  int fd_ = -1;
  std::string pending_;
  size_t searched_ = 0;
};

DatasetLayout layout_from_json(const json& report, uint64_t file_bytes, const std::string& what) {
  DatasetLayout layout;
  layout.kind = static_cast<ElementKind>(report.at("kind").get<int>());
  layout.element_bytes = report.at("element_bytes").get<uint64_t>();
  layout.num_elements = report.at("num_elements").get<uint64_t>();
  for (const json& extent : report.at("extents"))
    layout.extents.push_back(
        {extent.at(0).get<uint64_t>(), extent.at(1).get<uint64_t>(), extent.at(2).get<uint64_t>()});
  settle_extents(layout, file_bytes, what);
  return layout;
}

Hdf5Contents contents_from_json(const json& report, const std::string& path, uint64_t file_bytes) {
  Hdf5Contents contents{.path = path,
                        .file_bytes = file_bytes,
                        .hdf5_bytes = report.at("hdf5_bytes").get<uint64_t>(),
                        .datasets = {},
                        .attributes = {}};
  if (contents.hdf5_bytes > file_bytes)
    throw DataError("{}: {} bytes, but its HDF5 data ends at byte {}; the file is incomplete", path,
                    file_bytes, contents.hdf5_bytes);
  for (const auto& [name, layout] : report.at("datasets").items())
    contents.datasets.emplace(
        name, layout_from_json(layout, file_bytes, fmt::format("{}: dataset /{}", path, name)));
  for (const auto& [name, value] : report.at("attributes").items()) {
    if (value.is_string())
      contents.attributes.emplace(name, value.get<std::string>());
    else
      contents.attributes.emplace(name, value.get<uint64_t>());
  }
  return contents;
}

Hdf5Contents next_contents(Child& child, const Question& question, size_t index) {
  const std::string& path = question.paths[index];
  const auto line = child.read_line();
  if (!line)
    throw DataError(
        "{}: the HDF5 library could not get through this file ({}); it is damaged or hostile, write it again",
        path, child.wait());
  const json report = json::parse(*line, nullptr, false);
  if (report.is_discarded())
    throw DataError("{}: the HDF5 library made nonsense of this file; it is damaged", path);
  if (report.contains("error")) throw DataError(report["error"].get<std::string>());
  try {
    return contents_from_json(report, path, question.file_bytes[index]);
  } catch (const json::exception&) {
    throw DataError("{}: the HDF5 library made nonsense of this file; it is damaged", path);
  }
}

uint64_t check_signature(core::FileSystem& fs, const std::string& path) {
  static constexpr std::string_view kSignature = "\x89HDF\r\n\x1a\n";
  const auto file = fs.open(path);
  std::array<char, kSignature.size()> start{};
  if (file->size() >= start.size()) file->read(0, std::as_writable_bytes(std::span(start)));
  if (std::string_view(start.data(), start.size()) != kSignature)
    throw DataError("{}: not an HDF5 file ({} bytes); token shards are written by `athanor shards build`",
                    path, file->size());
  return file->size();
}

}  // namespace

std::vector<Hdf5Contents> read_hdf5_contents(core::FileSystem& fs, std::span<const std::string> paths,
                                             std::span<const std::string_view> datasets,
                                             std::span<const std::string_view> attributes) {
  Question question{.paths = paths, .file_bytes = {}, .datasets = datasets, .attributes = attributes};
  for (const std::string& path : paths) question.file_bytes.push_back(check_signature(fs, path));
  std::vector<Hdf5Contents> all;
  if (paths.empty()) return all;
  Child child(question);
  for (size_t index = 0; index < paths.size(); ++index) all.push_back(next_contents(child, question, index));
  return all;
}

}  // namespace athanor::data
