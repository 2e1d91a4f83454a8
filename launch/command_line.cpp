#include "launch/command_line.h"

#include <cstdint>
#include <optional>

#include <CLI/CLI.hpp>

namespace athanor::launch {

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
  option_->check(CLI::PositiveNumber);
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
  return Option(app_.add_option(name, variable, help));
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

bool run_command_line(int argc, char** argv, void (*add_commands)(Command root)) {
  CLI::App app{"Athanor: cleans text, trains and aligns mixture-of-experts language models", "athanor"};
  app.require_subcommand(1);
  app.set_version_flag("--version", "athanor 0.1.0");
  add_commands(Command(app));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    app.exit(error);
    return error.get_exit_code() == 0;
  }
  return true;
}

}  // namespace athanor::launch
