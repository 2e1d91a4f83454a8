// The `athanor` program: parses the command line, runs one subcommand, and turns an error into one message
// and an exit code. Nothing else in the program prints errors or calls exit.
#include <cstdio>
#include <exception>

#include <CLI/CLI.hpp>

#include "core/error.h"
#include "launch/commands.h"

namespace {

int run(int argc, char** argv) {
  using athanor::core::ExitCode;
  CLI::App app{"Athanor: cleans text, trains and aligns mixture-of-experts language models", "athanor"};
  app.require_subcommand(1);
  app.set_version_flag("--version", "athanor 0.1.0");
  athanor::launch::add_all_commands(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool is_help = error.get_exit_code() == 0;
    app.exit(error);
    return static_cast<int>(is_help ? ExitCode::kOk : ExitCode::kUsage);
  } catch (const athanor::core::Error& error) {
    std::fprintf(stderr, "athanor: error: %s\n", error.what());
    return static_cast<int>(error.exit_code());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "athanor: internal error: %s\n", error.what());
    return static_cast<int>(ExitCode::kInternal);
  }
  return static_cast<int>(ExitCode::kOk);
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv);
}
