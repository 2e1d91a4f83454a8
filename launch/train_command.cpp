// athanor train CONFIG [section.key=value ...]
#include <atomic>
#include <csignal>
#include <memory>

#include <ATen/Parallel.h>

#include "configs/flat_options.h"
#include "core/error.h"
#include "core/file_system.h"
#include "core/log.h"
#include "core/parallel_for.h"
#include "launch/commands.h"
#include "launch/environment.h"
#include "launch/job.h"
#include "launch/place_process.h"
#include "launch/start_agreement.h"
#include "parallel/session.h"
#include "trainer/trainer.h"

namespace athanor::launch {
namespace {

struct TrainArguments {
  std::string config;
  std::vector<std::string> overrides;
  std::string resume = "auto";
  bool as_json = false;
};

trainer::ResumeChoice resume_choice(const std::string& text) {
  using Kind = trainer::ResumeChoice::Kind;
  if (text == "auto") return {Kind::kNewest, {}};
  if (text == "never") return {Kind::kNever, {}};
  return {Kind::kPath, text};
}

core::log::Level level_of(const std::string& name) {
  if (name == "debug") return core::log::Level::kDebug;
  if (name == "warning") return core::log::Level::kWarning;
  if (name == "error") return core::log::Level::kError;
  return core::log::Level::kInfo;
}

void prepare_process(const configs::RunConfig& config, parallel::Session& session) {
  const std::string logs = config.run_dir() + "/logs";
  core::posix_file_system().create_directories(logs);
  core::log::configure(
      {.rank = session.rank(), .console_level = level_of(config.run.log_level), .directory = logs});
  session.set_flight_directory(logs);
  place_process(session, {.may_pin = config.run.pin == "auto", .threads = config.run.threads});
  at::set_num_threads(
      1);  // the kernels bring their own threads; a second pool would fight them for the cores
}

parallel::SessionOptions session_options(const configs::RunConfig& config, const LauncherFacts& facts) {
  parallel::SessionOptions options;
  options.under_mpi_launcher = facts.is_under_mpi;
  options.timeout_s = config.parallel.timeout;
  options.host = facts.host;
  options.on_cuda = config.run.device == "cuda";
  options.share_devices = config.run.share_devices;
  options.visible_devices = facts.visible_devices;
  if (!facts.nccl_library.empty()) options.nccl_library = facts.nccl_library;
  return options;
}

trainer::Console console_of(const TrainArguments& arguments, const LauncherFacts& facts) {
  if (arguments.as_json) return trainer::Console::kJson;
  return is_terminal_output(facts) ? trainer::Console::kLive : trainer::Console::kLines;
}

// Rank 0 says it for all.
[[noreturn]] void say_stopped(const trainer::TrainerOptions& options, int rank) {
  if (rank != 0) throw core::StartAgain("");
  throw core::StartAgain(
      "stopped on request; a checkpoint is saved in {}: start the same command again{} to go on",
      options.config.checkpoint_dir(),
      options.resume.kind == trainer::ResumeChoice::Kind::kNewest ? "" : " without --resume");
}

void run_train(const TrainArguments& arguments) {
  ::signal(SIGPIPE, SIG_IGN);  // a run does not end because nobody reads what it prints
  const std::atomic<int>& stop = stop_signal();
  const LauncherFacts facts = launcher_facts();
  const trainer::TrainerOptions options{
      .config = load_config_in_job(arguments.config, arguments.overrides,
                                   {.world_size = facts.world_size, .is_input_checked = true}),
      .resume = resume_choice(arguments.resume),
      .stop_signal = &stop,
      .console = console_of(arguments, facts)};
  keep_large_allocations();
  const auto session = parallel::start_session(session_options(options.config, facts));
  core::log::configure({.rank = session->rank(), .console_level = level_of(options.config.run.log_level)});
  trainer::Outcome outcome{};
  run_in_job(*session, [&] {
    if (session->size() > 1)
      check_start_agreement({configs::flat_options(options.config), program_digest()}, *session);
    prepare_process(options.config, *session);
    outcome = trainer::train(options, *session);
  });
  if (outcome == trainer::Outcome::kStopRequested) say_stopped(options, session->rank());
}

}  // namespace

void add_train_command(Command root) {
  auto arguments = std::make_shared<TrainArguments>();
  Command command =
      root.add_command("train", "Run the task that a configuration names, alone or under mpirun");
  command.add_option("config", arguments->config, "the configuration (YAML)").required();
  command.add_option("overrides", arguments->overrides, "section.key=value, over the file");
  command
      .add_option("--resume", arguments->resume,
                  "auto: from the newest good checkpoint in checkpoint.dir, if there is one; never; or a "
                  "checkpoint's path: the run goes back to it, and later checkpoints are put aside")
      .shows_default();
  command.add_flag("--json", arguments->as_json,
                   "print every step as a line of JSON, as in RUN/metrics.jsonl");
  command.runs([arguments] { run_train(*arguments); });
}

}  // namespace athanor::launch
