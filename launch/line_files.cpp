#include "launch/line_files.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <sched.h>
#include <system_error>
#include <vector>

#include "configs/utf8.h"
#include "core/error.h"
#include "core/file_system.h"
#include "core/output_files.h"
#include "core/parallel_for.h"
#include "data/text/line_reader.h"
#include "launch/output.h"

namespace athanor::launch {
namespace {

constexpr size_t kBatchBytes = size_t{4} << 20;

// Lines of a stream, a batch at a time.
class BatchReader {
 public:
  explicit BatchReader(const std::string& path)
      : path_(path), lines_(text::open_byte_source(core::posix_file_system(), path), text::kMaxLineBytes) {}

  /// Empty at the end.
  std::vector<Line> next_batch() {
    std::vector<Line> batch;
    size_t num_bytes = 0;
    for (text::Line line; num_bytes < kBatchBytes && lines_.next(line);) {
      const std::string where = fmt::format("{}:{}", path_, line.number);
      if (line.is_overlong)
        throw core::DataError("{}: a line has more than {} bytes", where, text::kMaxLineBytes);
      if (line.bytes.find_first_not_of(" \t") == std::string_view::npos) continue;
      num_bytes += line.bytes.size();
      batch.push_back({std::string(line.bytes), where});
    }
    return batch;
  }

 private:
  std::string path_;
  text::LineReader lines_;
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
  BatchReader reader(input);
  for (auto lines = reader.next_batch(); !lines.empty(); lines = reader.next_batch())
    for (const Line& line : lines) visit(line);
}

void convert_lines(const std::string& input, const std::string& output,
                   const std::function<std::string(const Line&)>& convert) {
  BatchReader reader(input);
  const auto writer = open_writer(output);
  for (auto lines = reader.next_batch(); !lines.empty(); lines = reader.next_batch()) {
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

nlohmann::json parse_json(const Line& line) {
  try {
    return nlohmann::json::parse(line.text);
  } catch (const nlohmann::json::exception& error) {
    const auto fault = configs::find_text_fault(line.text);
    throw core::DataError("{}: not valid JSON: {}", line.where,
                          fault ? fmt::format("{} at column {} is not UTF-8 text", fault->what, fault->column)
                                : core::json_problem(error));
  }
}

int usable_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  return sched_getaffinity(0, sizeof cores, &cores) == 0 ? std::max(1, CPU_COUNT(&cores)) : 1;
}

}  // namespace athanor::launch
