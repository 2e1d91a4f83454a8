// athanor clean CONFIG [clean.key=value ...]
#include <cstdio>
#include <memory>

#include "configs/load.h"
#include "core/file_system.h"
#include "core/parallel_for.h"
#include "data/clean/report.h"
#include "data/clean/run_clean.h"
#include "launch/commands.h"
#include "launch/environment.h"
#include "parallel/session.h"

namespace athanor::launch {
namespace {

struct CleanArguments {
  std::string config;
  std::vector<std::string> overrides;
  bool json = false;
};

// Under mpirun every rank takes its share of the documents; the result is the same for any number of ranks.
void run_clean(const CleanArguments& arguments) {
  const LauncherFacts facts = launcher_facts();
  const configs::CleanConfig config = configs::load_run_config(arguments.config, arguments.overrides,
                                                               {.purpose = configs::Purpose::kCleaning})
                                          .clean;
  const auto session =
      parallel::start_session({.under_mpi_launcher = facts.is_under_mpi, .timeout_s = 86400});
  core::set_num_threads(threads_per_rank(config.threads, session->local_size()));
  auto& fs = core::posix_file_system();
  clean::clean_shard(config, fs, {session->rank(), session->size()});
  session->world().barrier();
  if (session->rank() == 0) {
    const clean::CleanReport report = clean::merge_shards(config, fs, session->size());
    std::fputs((arguments.json ? clean::report_json(report) + "\n" : clean::report_table(report)).c_str(),
               stdout);
  }
  session->finish();
}

}  // namespace

void add_clean_command(CLI::App& root) {
  auto arguments = std::make_shared<CleanArguments>();
  CLI::App* command = root.add_subcommand(
      "clean", "Turn raw text into cleaned documents, with a report of what each rule removed");
  command->add_option("config", arguments->config, "the configuration (YAML) with a section `clean`")
      ->required();
  command->add_option("overrides", arguments->overrides, "clean.key=value, over the file");
  command->add_flag("--json", arguments->json, "print the report as JSON");
  command->callback([arguments] { run_clean(*arguments); });
}

}  // namespace athanor::launch
