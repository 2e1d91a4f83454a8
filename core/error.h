// Errors and exit codes.
//
// Every error that reaches a user is one of the types below: its message says what was expected, what was
// found, where, and what to do; its type fixes the exit code of the process. `launch/command_line.cpp` is the
// only place that turns one into output. ATHANOR_CHECK is for what our own code guarantees (exit code 1), not
// for input.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include <fmt/core.h>

namespace athanor::core {

/// Exit codes of the `athanor` program; the numbers are part of the public contract.
enum class ExitCode : int {
  kOk = 0,
  kInternal = 1,
  kUsage = 2,
  kData = 65,
  kMissingInput = 66,
  kStoppedByPolicy = 70,
  kCannotWrite = 73,
  kIo = 74,
  kStartAgain = 75,
  kPeerLost = 76,
  kConfig = 78,
  kCrashLoop = 79,
};

/// Base of all errors of our own. `message()` is the whole message, without a trailing newline; `what()` ends
/// at its first NUL. An empty one says that another rank speaks for this one.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message)
      : std::runtime_error(message), exit_code_(code), message_(message) {}
  ExitCode exit_code() const { return exit_code_; }
  const std::string& message() const { return message_; }

 private:
  ExitCode exit_code_;
  std::string message_;
};

template <ExitCode Code>
class ErrorWithCode : public Error {
 public:
  explicit ErrorWithCode(const std::string& message) : Error(Code, message) {}
  template <typename... Args>
  requires(sizeof...(Args) > 0) explicit ErrorWithCode(fmt::format_string<Args...> format, Args&&... args)
      : Error(Code, fmt::format(format, std::forward<Args>(args)...)) {}
};

using InternalError = ErrorWithCode<ExitCode::kInternal>;  ///< a bug of ours
using UsageError = ErrorWithCode<ExitCode::kUsage>;        ///< bad command line
using DataError = ErrorWithCode<ExitCode::kData>;  ///< a file's content is wrong (text, shards, weights)
using MissingInputError = ErrorWithCode<ExitCode::kMissingInput>;  ///< a file or directory is not there
using PolicyStop = ErrorWithCode<ExitCode::kStoppedByPolicy>;      ///< the run's own rule ended it
using CannotWriteError =
    ErrorWithCode<ExitCode::kCannotWrite>;                ///< output cannot be created (permission, exists)
using IoError = ErrorWithCode<ExitCode::kIo>;             ///< read or write failed (disk full, EIO)
using StartAgain = ErrorWithCode<ExitCode::kStartAgain>;  ///< stopped on request, checkpoint saved
using CommError = ErrorWithCode<ExitCode::kPeerLost>;     ///< a peer is lost, hung, or disagrees
using ConfigError = ErrorWithCode<ExitCode::kConfig>;     ///< configuration; checkpoint and config differ

/// The text with every control character but line feed and tab as \xNN: messages quote what strangers wrote.
std::string printable_lines(std::string_view text);

/// Throws InternalError with `file:line`, the condition and the message.
[[noreturn]] void check_failed(const char* condition, const char* file, int line, const std::string& message);

}  // namespace athanor::core

/// ATHANOR_CHECK(rows == expected, "weight rows {} != {} at layer {}", rows, expected, layer): an invariant
/// of our own.
#define ATHANOR_CHECK(condition, ...)                                                            \
  do {                                                                                           \
    if (!(condition)) [[unlikely]]                                                               \
      ::athanor::core::check_failed(#condition, __FILE__, __LINE__, ::fmt::format(__VA_ARGS__)); \
  } while (false)
