#include "observe/metrics_writer.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "core/error.h"
#include "core/json.h"

namespace athanor::observe {
namespace {

using nlohmann::json;

constexpr uint64_t kBlockBytes = uint64_t{1} << 20;
constexpr size_t kMaxLineBytes = size_t{1} << 20;

void add_field(std::string& line, const std::string& name, const std::string& value) {
  line += fmt::format("{}{}: {}", line.size() > 1 ? ", " : "", json(name).dump(), value);
}

void add_validation(std::string& line, const ValidationRecord& record) {
  for (const auto& [name, value] : named_values(record)) add_field(line, name, json_number(value));
}

std::optional<uint64_t> step_of(std::string_view line) {
  const json object = json::parse(line, nullptr, false);
  if (!object.is_object()) return std::nullopt;
  const auto step = object.find("step");
  if (step == object.end() || !step->is_number_unsigned()) return std::nullopt;
  return step->get<uint64_t>();
}

}  // namespace

std::string json_number(double value) {
  if (!std::isfinite(value)) return "null";
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string metrics_line(const StepRecord& record, const ValidationRecord* validation) {
  std::string line = "{";
  add_field(line, "step", std::to_string(record.step));
  for (const auto& [name, value] : named_values(record))
    add_field(line, name, name == "tokens" ? std::to_string(record.tokens) : json_number(value));
  add_field(line, "time", json_number(record.time));
  if (validation) add_validation(line, *validation);
  return line + "}";
}

uint64_t metrics_bytes_through(const core::ReadableFile& file, uint64_t last_step) {
  std::string pending;
  uint64_t num_read = 0, num_seen = 0, num_kept = 0;
  std::optional<uint64_t> newest;
  for (;;) {
    for (size_t end = 0; (end = pending.find('\n')) != std::string::npos; pending.erase(0, end + 1)) {
      const auto step = step_of(std::string_view(pending).substr(0, end));
      if (step && (*step > last_step || (newest && *step <= *newest))) return num_kept;
      num_seen += end + 1;
      if (!step) continue;
      num_kept = num_seen;
      newest = step;
    }
    if (num_read == file.size() || pending.size() > kMaxLineBytes) return num_kept;
    std::string block(std::min(kBlockBytes, file.size() - num_read), '\0');
    file.read(num_read, std::as_writable_bytes(std::span(block.data(), block.size())));
    num_read += block.size();
    pending += block;
  }
}

void MetricsLines::write_pending() {
  std::string line = "{";
  add_field(line, "step", std::to_string(pending_->step));
  add_validation(line, *pending_);
  add_field(line, "time", json_number(pending_->time));
  write_(line + "}\n");
  pending_.reset();
}

void MetricsLines::on_step(const StepRecord& record) {
  if (pending_ && pending_->step != record.step) write_pending();
  write_(metrics_line(record, pending_ ? &*pending_ : nullptr) + "\n");
  pending_.reset();
}

void MetricsLines::on_validation(const ValidationRecord& record) {
  if (pending_) write_pending();
  pending_ = record;
  if (record.step == 0) write_pending();
}

void MetricsLines::on_resume(uint64_t) {
  pending_.reset();
}

MetricsWriter::MetricsWriter(core::FileSystem& fs, std::string path)
    : fs_(fs),
      path_(std::move(path)),
      file_(fs.open_append(path_)),
      lines_([this](std::string_view line) { file_->append(line); }) {}

void MetricsWriter::on_resume(uint64_t step) {
  lines_.on_resume(step);
  file_->close();
  fs_.truncate(path_, metrics_bytes_through(*fs_.open(path_), step));
  file_ = fs_.open_append(path_);
}

}  // namespace athanor::observe
