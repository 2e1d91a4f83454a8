// The `athanor` program: parses the command line, runs one subcommand, and turns an error into one message
// and an exit code. Nothing else in the program prints errors or calls exit.
#include <cstdio>
#include <exception>

#include "core/error.h"
#include "launch/command_line.h"
#include "launch/commands.h"

namespace {

athanor::core::ExitCode run(int argc, char** argv) {
  using athanor::core::ExitCode;
  try {
    const bool is_understood =
        athanor::launch::run_command_line(argc, argv, athanor::launch::add_all_commands);
    return is_understood ? ExitCode::kOk : ExitCode::kUsage;
  } catch (const athanor::core::Error& error) {
    std::fprintf(stderr, "athanor: error: %s\n", error.what());
    return error.exit_code();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "athanor: internal error: %s\n", error.what());
    return ExitCode::kInternal;
  }
}

}  // namespace

int main(int argc, char** argv) {
  return static_cast<int>(run(argc, argv));
}
