// athanor clean CONFIG [clean.key=value ...]
#include <charconv>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>

#include "core/error.h"
#include "core/file_system.h"
#include "core/output_files.h"
#include "core/parallel_for.h"
#include "data/clean/plan.h"
#include "data/clean/report.h"
#include "data/clean/run_clean.h"
#include "launch/commands.h"
#include "launch/environment.h"
#include "launch/file_outputs.h"
#include "launch/job.h"
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
  const char* const end = text.data() + text.size();
  const auto index = std::from_chars(text.data(), end, shard.index);
  const bool has_both = index.ec == std::errc() && index.ptr != end && *index.ptr == '/';
  const auto count = std::from_chars(has_both ? index.ptr + 1 : end, end, shard.count);
  if (count.ec != std::errc() || count.ptr != end || shard.index < 0 || shard.index >= shard.count)
    throw core::UsageError("--shard {}: expected I/N with I from 0 to N-1, such as 0/8", text);
  return shard;
}

void merge(const CleanArguments& arguments, const configs::CleanConfig& config, int num_shards) {
  const clean::CleanReport report = clean::merge_shards(config, core::posix_file_system(), num_shards);
  print(arguments.json ? clean::report_json(report) + "\n" : clean::report_table(report));
}

// The directory that a run of both stages makes for what lies between them: it goes with a run that fails,
// since nothing goes on from what stage 1 left there.
class StagesDirectory {
 public:
  explicit StagesDirectory(std::string path) {
    if (!core::posix_file_system().exists(path)) unfinished_.emplace(std::move(path));
  }
  ~StagesDirectory() {
    std::error_code ignored;  // an error is already on its way, or stage 2 has removed it
    if (unfinished_) std::filesystem::remove_all(unfinished_->path(), ignored);
  }
  StagesDirectory(const StagesDirectory&) = delete;
  StagesDirectory& operator=(const StagesDirectory&) = delete;

 private:
  std::optional<core::UnfinishedOutput> unfinished_;
};

// Under mpirun every rank takes its share of the documents; the result is the same for any number of ranks.
void run_on_ranks(const CleanArguments& arguments, const configs::CleanConfig& config,
                  parallel::Session& session) {
  std::optional<StagesDirectory> stages;
  if (session.rank() == 0) stages.emplace(clean::work_directory(config));
  session.world().barrier();
  clean::clean_shard(config, core::posix_file_system(), {session.rank(), session.size()});
  session.world().barrier();
  if (session.rank() == 0) merge(arguments, config, session.size());
}

void run_clean(const CleanArguments& arguments) {
  if (!arguments.shard.empty() && arguments.num_merged > 0)
    throw core::UsageError("--shard and --merge are two stages: run every shard first, then merge");
  const configs::CleanConfig config =
      load_config_in_job(arguments.config, arguments.overrides, {.purpose = configs::Purpose::kCleaning})
          .clean;
  const LauncherFacts facts = launcher_facts();
  clean_up_on_signals(!facts.is_under_mpi ? StopReport::kSaid
                      : facts.rank == 0   ? StopReport::kOnDemand
                                          : StopReport::kSilent);
  const auto session =
      parallel::start_session({.under_mpi_launcher = facts.is_under_mpi, .timeout_s = 86400});
  core::set_num_threads(threads_per_rank(config.threads, session->local_size()));
  run_in_job(*session, [&] {
    if (!arguments.shard.empty()) {
      clean::clean_shard(config, core::posix_file_system(), parse_shard(arguments.shard));
    } else if (arguments.num_merged > 0) {
      merge(arguments, config, arguments.num_merged);
    } else {
      run_on_ranks(arguments, config, *session);
    }
  });
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
