#include "launch/command_line.h"

#include <algorithm>
#include <charconv>
#include <concepts>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

#include "configs/diagnostic.h"
#include "core/error.h"

namespace athanor::launch {
namespace {

// CLI11 lets -1 wrap around where an unsigned number is read, and takes the nearest number for one that is
// too large. What is no number it refuses by itself.
template <typename T>
std::string refuse_out_of_range(const std::string& text) {
  if (std::unsigned_integral<T> && text.starts_with('-'))
    return fmt::format("expected 0 or more, got {}", text);
  T value{};
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc::result_out_of_range) return "";
  return fmt::format("expected a number from {} to {}, got {}", std::numeric_limits<T>::min(),
                     std::numeric_limits<T>::max(), text);
}

}  // namespace

Option& Option::required() {
  option_->required();
  return *this;
}

Option& Option::shows_default() {
  option_->capture_default_str();
  return *this;
}

Option& Option::one_of(const std::vector<std::string>& choices) {
  option_->check(CLI::IsMember(choices));
  return *this;
}

Option& Option::above_zero() {
  option_->check(
      [](const std::string& text) {
        return std::strtod(text.c_str(), nullptr) > 0
                   ? ""
                   : fmt::format("expected a number above 0, got {}", text);
      },
      "POSITIVE");
  return *this;
}

template <typename T>
Option& Option::between(T min, T max) {
  option_->check(CLI::Range(min, max));
  return *this;
}
template Option& Option::between(int, int);
template Option& Option::between(uint64_t, uint64_t);
template Option& Option::between(double, double);

Option& Option::excludes(const Option& other) {
  option_->excludes(other.option_);
  return *this;
}

Command Command::add_command(const std::string& name, const std::string& help) {
  return Command(*app_.add_subcommand(name, help));
}

void Command::requires_command() {
  app_.require_subcommand(1);
}

template <typename T>
Option Command::add_option(const std::string& name, T& variable, const std::string& help) {
  CLI::Option* const option = app_.add_option(name, variable, help);
  if constexpr (std::integral<T>) option->check(refuse_out_of_range<T>);
  return Option(option);
}
template Option Command::add_option(const std::string&, int&, const std::string&);
template Option Command::add_option(const std::string&, int64_t&, const std::string&);
template Option Command::add_option(const std::string&, uint64_t&, const std::string&);
template Option Command::add_option(const std::string&, float&, const std::string&);
template Option Command::add_option(const std::string&, double&, const std::string&);
template Option Command::add_option(const std::string&, std::string&, const std::string&);
template Option Command::add_option(const std::string&, std::optional<std::string>&, const std::string&);
template Option Command::add_option(const std::string&, std::vector<std::string>&, const std::string&);

Option Command::add_flag(const std::string& name, bool& variable, const std::string& help) {
  return Option(app_.add_flag(name, variable, help));
}

void Command::runs(std::function<void()> action) {
  app_.callback(std::move(action));
}

namespace {

// CLI11 says only that a command is required.
void check_command_name(const CLI::App& app, const std::string& name, const std::string& parents) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  if (name.starts_with('-') || std::ranges::find(names, name) != names.end()) return;
  const std::string near = configs::nearest_name(name, names);
  throw core::UsageError("unknown command {}{}; `{} --help` lists the commands", configs::in_backquotes(name),
                         near.empty() ? "" : fmt::format(", did you mean `{}`?", near), parents);
}

// Down to the first option or to a command that has none below it.
void check_command_names(const CLI::App& app, int argc, char** argv) {
  const CLI::App* parent = &app;
  std::string parents = "athanor";
  for (int i = 1; i < argc && parent->get_require_subcommand_min() > 0; ++i) {
    const std::string name = argv[i];
    check_command_name(*parent, name, parents);
    if (name.starts_with('-')) return;
    parent = parent->get_subcommand(name);
    parents += " " + name;
  }
}

}  // namespace

bool has_command(AddCommands* add_commands, const std::string& name) {
  CLI::App app;
  add_commands(Command(app));
  return !app.get_subcommands([&](const CLI::App* command) { return command->check_name(name); }).empty();
}

bool run_command_line(int argc, char** argv, AddCommands* add_commands) {
  CLI::App app{"Athanor: cleans text, trains and aligns mixture-of-experts language models", "athanor"};
  app.require_subcommand(1);
  app.set_version_flag("--version", "athanor 0.1.0");
  add_commands(Command(app));
  check_command_names(app, argc, argv);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    app.exit(error);
    if (!std::cout.flush()) throw core::IoError("cannot write to the standard output");
    return error.get_exit_code() == 0;
  }
  return true;
}

namespace {

core::ExitCode run_and_report(int argc, char** argv, AddCommands* add_commands) {
  using core::ExitCode;
  try {
    return run_command_line(argc, argv, add_commands) ? ExitCode::kOk : ExitCode::kUsage;
  } catch (const core::Error& error) {
    const std::string message = core::printable_lines(error.message());
    if (!message.empty()) fmt::print(stderr, "athanor: error: {}\n", message);
    return error.exit_code();
  } catch (const std::exception& error) {
    // LibTorch appends a stack trace to its messages.
    const std::string_view message(error.what());
    std::fprintf(stderr, "athanor: internal error: %s\n",
                 std::string(message.substr(0, message.find('\n'))).c_str());
    return ExitCode::kInternal;
  }
}

}  // namespace

int run_program(int argc, char** argv, AddCommands* add_commands) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow further is an error of the write
  return static_cast<int>(run_and_report(argc, argv, add_commands));
}

}  // namespace athanor::launch
