// athanor clean CONFIG [clean.key=value ...]
#include <cstdio>
#include <memory>

#include "configs/load.h"
#include "core/error.h"
#include "core/file_system.h"
#include "core/parallel_for.h"
#include "data/clean/report.h"
#include "data/clean/run_clean.h"
#include "launch/commands.h"
#include "launch/environment.h"
#include "launch/output.h"
#include "parallel/session.h"

namespace athanor::launch {
namespace {

struct CleanArguments {
  std::string config;
  std::vector<std::string> overrides;
  std::string shard;   ///< "I/N": stage 1 of one part alone
  int num_merged = 0;  ///< stage 2 alone, over so many parts
  bool json = false;
};

clean::Shard parse_shard(const std::string& text) {
  clean::Shard shard;
  char rest = 0;
  if (std::sscanf(text.c_str(), "%d/%d%c", &shard.index, &shard.count, &rest) != 2 || shard.index < 0 ||
      shard.index >= shard.count)
    throw core::UsageError("--shard {}: expected I/N with I from 0 to N-1, such as 0/8", text);
  return shard;
}

void merge(const CleanArguments& arguments, const configs::CleanConfig& config, int num_shards) {
  const clean::CleanReport report = clean::merge_shards(config, core::posix_file_system(), num_shards);
  print(arguments.json ? clean::report_json(report) + "\n" : clean::report_table(report));
}

// Under mpirun every rank takes its share of the documents; the result is the same for any number of ranks.
void run_on_ranks(const CleanArguments& arguments, const configs::CleanConfig& config,
                  parallel::Session& session) {
  clean::clean_shard(config, core::posix_file_system(), {session.rank(), session.size()});
  session.world().barrier();
  if (session.rank() == 0) merge(arguments, config, session.size());
}

void run_clean(const CleanArguments& arguments) {
  if (!arguments.shard.empty() && arguments.num_merged > 0)
    throw core::UsageError("--shard and --merge are two stages: run every shard first, then merge");
  const configs::CleanConfig config = configs::load_run_config(arguments.config, arguments.overrides,
                                                               {.purpose = configs::Purpose::kCleaning})
                                          .clean;
  const auto session =
      parallel::start_session({.under_mpi_launcher = launcher_facts().is_under_mpi, .timeout_s = 86400});
  core::set_num_threads(threads_per_rank(config.threads, session->local_size()));
  if (!arguments.shard.empty()) {
    clean::clean_shard(config, core::posix_file_system(), parse_shard(arguments.shard));
  } else if (arguments.num_merged > 0) {
    merge(arguments, config, arguments.num_merged);
  } else {
    run_on_ranks(arguments, config, *session);
  }
  session->finish();
}

}  // namespace

void add_clean_command(Command root) {
  auto arguments = std::make_shared<CleanArguments>();
  Command command = root.add_command(
      "clean", "Turn raw text into cleaned documents, with a report of what each rule removed");
  command.add_option("config", arguments->config, "the configuration (YAML) with a section `clean`")
      .required();
  command.add_option("overrides", arguments->overrides, "clean.key=value, over the file");
  command.add_option("--shard", arguments->shard,
                     "I/N: only stage 1 of part I (from 0) of N, for jobs without MPI; then --merge N");
  command.add_option("--merge", arguments->num_merged, "N: only stage 2, over N finished parts").above_zero();
  command.add_flag("--json", arguments->json, "print the report as JSON");
  command.runs([arguments] { run_clean(*arguments); });
}

}  // namespace athanor::launch
