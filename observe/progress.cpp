#include "observe/progress.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <span>
#include <system_error>

#include <fmt/format.h>

#include "core/log.h"

namespace athanor::observe {
namespace {

/// Three digits: 1.23, 12.3, 123.
std::string three_digits(double value) {
  // What would round up to one digit more takes one decimal less.
  return fmt::format("{:.{}f}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
}

std::string scaled(double value, double base, std::span<const char* const> units) {
  size_t unit = 0;
  while (unit + 1 < units.size() && value >= base - 0.5) {
    value /= base;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f}{}", value, units[0]) : three_digits(value) + units[unit];
}

void add_part(std::string& line, const std::string& part) {
  line += (line.empty() ? "" : " | ") + part;
}

}  // namespace

std::string format_count(double count) {
  static constexpr std::array<const char*, 6> kUnits = {"", "k", "M", "G", "T", "P"};
  return scaled(count, 1000, kUnits);
}

std::string format_bytes(uint64_t bytes) {
  static constexpr std::array<const char*, 6> kUnits = {" B", " KiB", " MiB", " GiB", " TiB", " PiB"};
  return scaled(static_cast<double>(bytes), 1024, kUnits);
}

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  if (seconds < 9.95) return fmt::format("{:.1f}s", seconds);
  const auto whole = static_cast<uint64_t>(std::llround(seconds));
  if (whole < 60) return fmt::format("{}s", whole);
  if (whole < 3600) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  if (whole < 86400) return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
  return fmt::format("{}d{:02}h", whole / 86400, whole / 3600 % 24);
}

std::string format_progress(const ProgressFacts& facts) {
  std::string line = facts.total_steps > 0 ? fmt::format("step {}/{}", facts.step, facts.total_steps)
                                           : fmt::format("step {}", facts.step);
  add_part(line, fmt::format("loss {:.4f}", facts.loss));
  if (facts.validation_loss) add_part(line, fmt::format("validation {:.4f}", *facts.validation_loss));
  add_part(line, format_count(facts.tokens_per_second) + " tokens/s");
  if (facts.mfu > 0) add_part(line, fmt::format("MFU {:.1f} %", facts.mfu * 100));
  if (facts.memory_bytes > 0) add_part(line, format_bytes(facts.memory_bytes));
  if (facts.checkpoint_age_s)
    add_part(line, fmt::format("checkpoint {} ago", format_duration(*facts.checkpoint_age_s)));
  if (facts.remaining_s) add_part(line, format_duration(*facts.remaining_s) + " left");
  return line;
}

ProgressLine::ProgressLine(const ProgressOptions& options, Write write, ReadMemory read_memory)
    : options_(options), write_(std::move(write)), read_memory_(std::move(read_memory)), timer_(128) {}

ProgressLine::~ProgressLine() {
  if (is_line_open_) write_("\n");
}

ProgressFacts ProgressLine::facts_of(const StepRecord& record) {
  ProgressFacts facts{.step = record.step,
                      .total_steps = options_.total_steps,
                      .loss = record.loss,
                      .validation_loss = validation_loss_,
                      .tokens_per_second = record.tokens_per_second,
                      .mfu = record.mfu,
                      .memory_bytes = read_memory_().resident_bytes};
  if (checkpoint_time_) facts.checkpoint_age_s = std::max(0.0, record.time - *checkpoint_time_);
  if (options_.total_steps > record.step)
    facts.remaining_s = static_cast<double>(options_.total_steps - record.step) * timer_.p50();
  return facts;
}

void ProgressLine::on_step(const StepRecord& record) {
  timer_.add(record.step_seconds);
  const bool is_last = record.step == options_.total_steps;
  if (!options_.is_terminal && record.step % std::max<uint64_t>(1, options_.every) != 0 && !is_last) return;
  std::string line = format_progress(facts_of(record));
  if (!options_.is_terminal) return write_(line + "\n");
  line.resize(std::min(line.size(), static_cast<size_t>(std::max(1, options_.terminal_columns - 1))));
  write_("\r\x1b[K" + line);
  is_line_open_ = true;
}

void ProgressLine::on_validation(const ValidationRecord& record) {
  validation_loss_ = record.loss;
}

void ProgressLine::on_checkpoint(const CheckpointRecord& record) {
  checkpoint_time_ = record.time;
}

void ProgressLine::on_resume(uint64_t step) {
  if (step > 0) write_(fmt::format("{}going on after step {}\n", is_line_open_ ? "\n" : "", step));
  is_line_open_ = false;
}

ProgressLine::Write console_writer(std::FILE* stream) {
  return [stream, is_open = true](std::string_view text) mutable {
    if (!is_open) return;
    is_open = std::fwrite(text.data(), 1, text.size(), stream) == text.size() && std::fflush(stream) == 0;
    if (!is_open)
      core::log::warning("cannot write to the console any more ({}): the run goes on without it",
                         std::generic_category().message(errno));
  };
}

}  // namespace athanor::observe
