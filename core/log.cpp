#include "core/log.h"

#include <memory>
#include <vector>

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "core/error.h"

namespace athanor::core::log {
namespace {

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarning:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::shared_ptr<spdlog::logger> make_logger(std::vector<spdlog::sink_ptr> sinks, int rank) {
  auto logger = std::make_shared<spdlog::logger>("athanor", sinks.begin(), sinks.end());
  logger->set_level(spdlog::level::debug);
  logger->flush_on(spdlog::level::debug);  // a log is read while the run goes on, and after it was killed
  logger->set_pattern(fmt::format("%Y-%m-%dT%H:%M:%S.%eZ %^%-7l%$ [rank {}] %v", rank),
                      spdlog::pattern_time_type::utc);
  return logger;
}

// The process's one logger; replaced as a whole by `configure`.
std::shared_ptr<spdlog::logger>& logger() {
  static std::shared_ptr<spdlog::logger> instance =
      make_logger({std::make_shared<spdlog::sinks::stderr_sink_mt>()}, 0);
  return instance;
}

}  // namespace

void configure(const Options& options) {
  auto console = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  console->set_level(options.rank == 0 ? to_spdlog(options.console_level) : spdlog::level::warn);
  std::vector<spdlog::sink_ptr> sinks{console};
  if (!options.directory.empty()) {
    const std::string path = fmt::format("{}/rank-{:05d}.log", options.directory, options.rank);
    try {
      sinks.push_back(std::make_shared<spdlog::sinks::basic_file_sink_mt>(path));
    } catch (const spdlog::spdlog_ex& failure) {
      throw CannotWriteError("cannot open the log file {}: {}", path, failure.what());
    }
  }
  logger() = make_logger(std::move(sinks), options.rank);
}

void flush() {
  logger()->flush();
}

void write(Level level, std::string_view message) {
  logger()->log(to_spdlog(level), spdlog::string_view_t(message.data(), message.size()));
}

}  // namespace athanor::core::log
