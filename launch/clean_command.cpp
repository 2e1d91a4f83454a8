// `athanor clean CONFIG [clean.key=value ...]`: reads the section `clean:` and runs it, whole or one part of
// it.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "configs/load.h"
#include "core/error.h"
#include "core/parallel_for.h"
#include "data/clean/run_clean.h"
#include "launch/commands.h"

namespace athanor::launch {
namespace {

struct CleanArguments {
  std::string config_path;
  std::vector<std::string> overrides;
  std::string shard;   ///< "i/n": stage 1 of one part
  int num_merged = 0;  ///< stage 2 over so many parts
  bool as_json = false;
};

clean::Shard parse_shard(const std::string& text) {
  clean::Shard shard;
  char rest = 0;
  if (std::sscanf(text.c_str(), "%d/%d%c", &shard.index, &shard.count, &rest) != 2)
    throw core::UsageError("--shard {}: I/N was expected, such as 0/8", text);
  return shard;
}

void print(const clean::CleanReport& report, bool as_json) {
  const std::string text = as_json ? clean::report_json(report) : clean::report_table(report);
  std::fwrite(text.data(), 1, text.size(), stdout);
}

void run(const CleanArguments& arguments) {
  if (!arguments.shard.empty() && arguments.num_merged > 0)
    throw core::UsageError("--shard and --merge are two stages: run every shard first, then merge");
  const configs::CleanConfig config = configs::load_clean_config(arguments.config_path, arguments.overrides);
  const unsigned num_cores = std::max(1U, std::thread::hardware_concurrency());
  core::set_num_threads(config.threads > 0 ? static_cast<int>(config.threads) : static_cast<int>(num_cores));
  core::FileSystem& fs = core::posix_file_system();
  if (!arguments.shard.empty()) return clean::clean_shard(config, fs, parse_shard(arguments.shard));
  print(arguments.num_merged > 0 ? clean::merge_shards(config, fs, arguments.num_merged)
                                 : clean::run_clean(config, fs),
        arguments.as_json);
}

}  // namespace

void add_clean_command(CLI::App& root) {
  auto* command =
      root.add_subcommand("clean", "raw text to cleaned documents, with a report of what each rule removed");
  auto arguments = std::make_shared<CleanArguments>();
  command->add_option("config", arguments->config_path, "YAML file with a section `clean:`")->required();
  command->add_option("overrides", arguments->overrides, "clean.key=value");
  command->add_option("--shard", arguments->shard,
                      "I/N: only stage 1 of part I (from 0) of N; then --merge N");
  command->add_option("--merge", arguments->num_merged, "N: only stage 2, over N finished parts")
      ->check(CLI::PositiveNumber);
  command->add_flag("--json", arguments->as_json, "print the report as JSON");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace athanor::launch
