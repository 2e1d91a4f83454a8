// Structured logging: the console on rank 0 (warnings and errors from every rank), one file per rank.
//
// A line is `2026-11-22T08:00:00.123Z INFO  [rank 0] message`. Call `configure` once the rank is known;
// before that everything goes to standard error. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include <fmt/core.h>

namespace athanor::core::log {

enum class Level { kDebug, kInfo, kWarning, kError };

struct Options {
  int rank = 0;
  Level console_level = Level::kInfo;  ///< of rank 0; the other ranks print from kWarning on
  std::string directory;               ///< `rank-00000.log` goes here; empty: no file
};

/// Sets the sinks. Throws CannotWriteError when the log file cannot be created.
void configure(const Options& options);

/// Flushes every sink; called before a deliberate exit.
void flush();

void write(Level level, std::string_view message);

template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::kDebug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::kError, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace athanor::core::log
