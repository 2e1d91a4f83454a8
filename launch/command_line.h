// Declaring the command line. CLI11 does the work; only command_line.cpp includes it, since its headers cost
// every file that sees them some fifteen seconds.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace athanor::launch {

/// An option or argument that has been declared; a handle.
class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}
  Option& required();
  /// --help shows the variable's value at the time of the declaration.
  Option& shows_default();
  Option& one_of(const std::vector<std::string>& choices);
  Option& above_zero();
  /// For int, uint64_t and double.
  template <typename T>
  Option& between(T min, T max);
  Option& excludes(const Option& other);

 private:
  CLI::Option* option_;
};

/// The program, or one of its commands; a handle.
class Command {
 public:
  explicit Command(CLI::App& app) : app_(app) {}
  Command add_command(const std::string& name, const std::string& help);
  /// One of its commands must be given.
  void requires_command();
  /// `name`: "--long", "-s,--long", or "argument". Sets `variable` when it is given: int, int64_t, uint64_t,
  /// float, double, std::string, std::optional of it, or a vector of it.
  template <typename T>
  Option add_option(const std::string& name, T& variable, const std::string& help);
  Option add_flag(const std::string& name, bool& variable, const std::string& help);
  /// What the command does. It reports failure by throwing a core::Error.
  void runs(std::function<void()> action);

 private:
  CLI::App& app_;
};

using AddCommands = void(Command root);

/// Does `add_commands` declare the command `name`?
bool has_command(AddCommands* add_commands, const std::string& name);

/// Parses the command line and runs the command. Prints help, or what is wrong with the arguments; false: the
/// latter. What a command throws passes through.
bool run_command_line(int argc, char** argv, AddCommands* add_commands);

/// The whole program: run_command_line, and an error becomes one message and an exit code, which is returned.
/// Nothing else in the program prints errors or ends the process.
int run_program(int argc, char** argv, AddCommands* add_commands);

}  // namespace athanor::launch
