#include "launch/line_files.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <sched.h>
#include <system_error>
#include <vector>

#include "core/error.h"
#include "core/file_system.h"
#include "core/output_files.h"
#include "core/parallel_for.h"
#include "launch/output.h"

namespace athanor::launch {
namespace {

constexpr size_t kBatchBytes = size_t{4} << 20;
constexpr size_t kMaxLineBytes = size_t{1} << 30;

// Lines of a stream, a batch at a time.
class LineReader {
 public:
  explicit LineReader(const std::string& path) : path_(path) {
    if (path == "-") return;
    file_.open(path, std::ios::binary);
    core::FileSystem& fs = core::posix_file_system();
    if (file_ && !fs.is_directory(path)) return;
    fs.open(path);  // says what is wrong
    throw core::IoError("{}: cannot be opened; try again", path);
  }

  std::vector<Line> next_batch() {
    std::vector<Line> batch;
    size_t num_bytes = 0;
    for (std::string text; num_bytes < kBatchBytes && std::getline(stream(), text);) {
      ++line_number_;
      if (text.size() > kMaxLineBytes)
        throw core::DataError("{}:{}: a line has more than {} bytes", path_, line_number_, kMaxLineBytes);
      num_bytes += text.size();
      if (text.find_first_not_of(" \t\r") != std::string::npos)
        batch.push_back({text, fmt::format("{}:{}", path_, line_number_)});
    }
    if (stream().bad()) throw core::IoError("{}: reading failed after line {}", path_, line_number_);
    return batch;
  }
  bool is_at_end() { return !stream(); }

 private:
  std::istream& stream() { return path_ == "-" ? std::cin : file_; }
  std::string path_;
  std::ifstream file_;
  uint64_t line_number_ = 0;
};

class LineWriter {
 public:
  virtual ~LineWriter() = default;
  virtual void write(const std::string& text) = 0;
  virtual void publish() = 0;
};

class StandardOutputWriter : public LineWriter {
 public:
  void write(const std::string& text) override { print(text); }
  void publish() override {}
};

// Writes beside the name and renames when all is there.
class FileWriter : public LineWriter {
 public:
  explicit FileWriter(const std::string& path)
      : path_(path), unfinished_(core::begin_output(path)), file_(fs_.create(unfinished_.path())) {}
  ~FileWriter() override {
    if (!file_) return;
    std::error_code ignored;  // an error is already on its way
    std::filesystem::remove(unfinished_.path(), ignored);
  }
  void write(const std::string& text) override { file_->append(text); }
  void publish() override {
    file_->sync();
    file_->close();
    fs_.rename(unfinished_.path(), path_);
    file_.reset();
    const auto folder = std::filesystem::path(path_).parent_path();
    fs_.sync_directory(folder.empty() ? "." : folder.string());
  }

 private:
  core::FileSystem& fs_ = core::posix_file_system();
  std::string path_;
  core::UnfinishedOutput unfinished_;
  std::unique_ptr<core::WritableFile> file_;
};

std::unique_ptr<LineWriter> open_writer(const std::string& path) {
  if (path == "-") return std::make_unique<StandardOutputWriter>();
  return std::make_unique<FileWriter>(path);
}

}  // namespace

void for_each_line(const std::string& input, const std::function<void(const Line&)>& visit) {
  for (LineReader reader(input); !reader.is_at_end();)
    for (const Line& line : reader.next_batch()) visit(line);
}

void convert_lines(const std::string& input, const std::string& output,
                   const std::function<std::string(const Line&)>& convert) {
  LineReader reader(input);
  const auto writer = open_writer(output);
  while (!reader.is_at_end()) {
    const auto lines = reader.next_batch();
    std::vector<std::string> converted(lines.size());
    core::parallel_for(static_cast<int64_t>(lines.size()), [&](int64_t i) {
      converted[static_cast<size_t>(i)] = convert(lines[static_cast<size_t>(i)]);
    });
    std::string together;
    for (const auto& text : converted) together += text;
    writer->write(together);
  }
  writer->publish();
}

int usable_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  return sched_getaffinity(0, sizeof cores, &cores) == 0 ? std::max(1, CPU_COUNT(&cores)) : 1;
}

}  // namespace athanor::launch
