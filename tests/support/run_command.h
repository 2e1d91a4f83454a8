// The program's commands, run in the test's own process.
#pragma once

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/error.h"
#include "launch/command_line.h"

namespace athanor::tests {

/// What `athanor ARGUMENTS` prints. Its errors pass through, with what was printed before in `*printed`;
/// core::UsageError: the arguments were not understood.
inline std::string run_command(launch::AddCommands* add_commands, std::vector<std::string> arguments,
                               std::string* printed = nullptr) {
  arguments.insert(arguments.begin(), "athanor");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  ::testing::internal::CaptureStdout();
  try {
    if (!launch::run_command_line(static_cast<int>(arguments.size()), argv.data(), add_commands))
      throw core::UsageError("arguments not understood");
  } catch (...) {
    const std::string text = ::testing::internal::GetCapturedStdout();
    if (printed) *printed = text;
    throw;
  }
  return ::testing::internal::GetCapturedStdout();
}

}  // namespace athanor::tests
