#include "trainer/trainer.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>

#include "checkpoints/checkpoint_directory.h"
#include "configs/load.h"
#include "core/error.h"
#include "core/file_system.h"
#include "core/log.h"
#include "data/loader/batch_stream.h"
#include "kernels/ops.h"
#include "observe/metrics_writer.h"
#include "observe/progress.h"
#include "observe/prometheus_exporter.h"
#include "observe/tensorboard_writer.h"
#include "trainer/agreement.h"
#include "trainer/batches.h"
#include "trainer/checkpoint_keeper.h"
#include "trainer/expert_reach.h"
#include "trainer/run_parts.h"
#include "trainer/step_totals.h"

namespace athanor::trainer {
namespace {

double unix_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// The run's directory: resolved configuration and tokenizer, so that the run explains itself.
void write_run_files(const configs::RunConfig& config, const RunParts& parts) {
  auto& fs = core::posix_file_system();
  configs::RunConfig resolved = config;
  // Read by whoever uses the run, from wherever that is.
  if (!resolved.checkpoint.dir.empty())
    resolved.checkpoint.dir = std::filesystem::absolute(resolved.checkpoint.dir).string();
  core::write_file_atomically(fs, config.run_dir() + "/config.yaml", configs::to_yaml(resolved));
  if (!parts.tokenizer.empty())
    core::write_file_atomically(fs, config.run_dir() + "/tokenizer.json",
                                core::read_text_file(fs, parts.tokenizer, uint64_t{256} << 20));
}

std::unique_ptr<observe::Observer> make_console(const TrainerOptions& options, const RunParts& parts) {
  auto write = observe::console_writer(stdout);
  if (options.console == Console::kJson) return std::make_unique<observe::MetricsLines>(std::move(write));
  const observe::ProgressOptions progress{.total_steps = static_cast<uint64_t>(parts.total_steps),
                                          .every = static_cast<uint64_t>(options.config.metrics.every),
                                          .is_terminal = options.console == Console::kLive};
  return std::make_unique<observe::ProgressLine>(progress, std::move(write));
}

// Metrics and configuration are one run's. The directory of the checkpoints has a lock of its own.
std::unique_ptr<checkpoints::DirectoryLock> lock_run(const configs::RunConfig& config) {
  core::posix_file_system().create_directories(config.run_dir());
  const bool is_one_directory = std::filesystem::weakly_canonical(config.run_dir()) ==
                                std::filesystem::weakly_canonical(config.checkpoint_dir());
  return is_one_directory ? nullptr
                          : std::make_unique<checkpoints::DirectoryLock>(config.run_dir(), "run.dir");
}

// Observers live on rank 0; on the others the list is empty.
observe::ObserverList make_observers(const TrainerOptions& options, const RunParts& parts, int rank) {
  observe::ObserverList observers;
  if (rank != 0) return observers;
  const configs::RunConfig& config = options.config;
  auto& fs = core::posix_file_system();
  const std::string dir = config.run_dir();
  observers.add(std::make_unique<observe::MetricsWriter>(fs, dir + "/metrics.jsonl"));
  if (config.metrics.tensorboard)
    observers.add(std::make_unique<observe::TensorboardWriter>(fs, dir + "/tensorboard", unix_time()));
  if (config.metrics.prometheus_port)
    observers.add(std::make_unique<observe::PrometheusExporter>(
        static_cast<int>(config.metrics.prometheus_port), config.run.name));
  observers.add(make_console(options, parts));
  return observers;
}

// FLOP/s of all ranks together, measured while all of them measure: they share the machine's cores.
double measure_peak(const configs::RunConfig& config, at::Device device, parallel::Communicator& world) {
  const auto dtype = config.training.precision == "fp32" ? at::kFloat : at::kBFloat16;
  return sum_by_micro_batch({kernels::measure_peak_flops(dtype, device)}, world);
}

const char* name_of_limit(const configs::TrainingConfig& training) {
  if (training.max_steps) return "training.max_steps";
  return training.max_tokens ? "training.max_tokens" : "training.max_epochs";
}

class Run {
 public:
  Run(const TrainerOptions& options, parallel::Session& session)
      : options_(options),
        config_(options.config),
        session_(session),
        parts_(build_run_parts(config_, session)),
        keeper_(config_, parts_, session.world()) {
    counters_ = keeper_.resume(options.resume);
    set_end(config_, counters_, parts_);
    // Nothing speaks against this start any more.
    if (session.rank() == 0) write_run_files(config_, parts_);
    observers_ = make_observers(options, parts_, session.rank());
    observers_.on_resume(static_cast<uint64_t>(counters_.step));
    peak_flops_ = measure_peak(config_, parts_.device, session.world());
    log_start();
  }

  Outcome loop() {
    data::BatchStream stream(parts_.train_data, plan(),
                             {.num_batches = static_cast<int>(config_.data.prefetch)});
    const int64_t first_step = counters_.step;
    if (first_step >= parts_.total_steps)
      core::log::info("nothing is left to do: the run ended at step {}; raise {} to go on", first_step,
                      name_of_limit(config_.training));
    while (counters_.step < parts_.total_steps && !is_out_of_patience()) {
      take_step(stream);
      const Observation seen = observe_together();
      if (seen.stop_requested) return end(Outcome::kStopRequested);
      if (config_.training.stop_after_steps &&
          counters_.step - first_step >= config_.training.stop_after_steps)
        return end(Outcome::kStartLimit);
      if (seen.save_is_due && !seen.writer_is_busy) save();
    }
    return end(Outcome::kFinished);
  }

 private:
  data::BatchPlan plan() {
    return {.first_sample = static_cast<uint64_t>(counters_.consumed_samples),
            .global_batch_size = static_cast<uint64_t>(config_.training.global_batch_size),
            .micro_batch_size = static_cast<uint64_t>(config_.training.micro_batch_size),
            .data_rank = static_cast<uint64_t>(parts_.data_axis().rank()),
            .data_size = static_cast<uint64_t>(parts_.data_axis().size())};
  }

  void log_start() {
    const auto counts = model::count_parameters(parts_.model->spec);
    core::log::info("{}: {} parameters ({} active), {} ranks on {}, ZeRO {}, {} kernel {}, {} steps",
                    config_.run.name, counts.total, counts.active, session_.size(), config_.run.device,
                    config_.parallel.zero, config_.training.precision,
                    kernels::product_kernel_name(
                        config_.training.precision == "fp32" ? at::kFloat : at::kBFloat16, parts_.device),
                    parts_.total_steps);
    log_expert_reach();
  }

  void log_expert_reach() {
    parallel::Communicator& expert = parts_.axis(parallel::Axis::kExpert);
    const model::ModelSpec& spec = parts_.model->spec;
    if (expert.size() == 1) return;
    const ExpertReach reach = expert_reach(spec, hosts_of(expert, session_.host()));
    if (session_.rank() == 0)
      core::log::info("{} experts on {} ranks: {}", spec.n_routed_experts, expert.size(),
                      describe(reach, spec));
  }

  void take_step(data::BatchStream& stream) {
    const auto start = std::chrono::steady_clock::now();
    session_.progress().begin_step(counters_.step + 1, parallel::Phase::kData);
    std::vector<model::MicroBatch> micro_batches;
    for (uint64_t i = 0; i < plan().micro_batches_per_step(); ++i) {
      const auto batch = stream.next();
      ATHANOR_CHECK(batch.has_value(), "the training data ended at step {}", counters_.step);
      micro_batches.push_back(to_micro_batch(*batch, parts_.model->spec, parts_.device));
    }
    const StepResult result = parts_.step->run(counters_.step + 1, micro_batches);
    count(result);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    validate_if_due();
    report(result, seconds.count());
    stop_if_hopeless(result);
  }

  void count(const StepResult& result) {
    counters_.step = result.step;
    counters_.consumed_samples += config_.training.global_batch_size;
    counters_.consumed_tokens += result.num_tokens;
    counters_.optimizer_steps = parts_.optimizer->num_steps();
    counters_.skipped_in_a_row = result.is_skipped ? counters_.skipped_in_a_row + 1 : 0;
  }

  void report(const StepResult& result, double seconds) {
    observe::StepRecord record{.step = static_cast<uint64_t>(result.step),
                               .loss = result.loss,
                               .grad_norm = result.grad_norm,
                               .learning_rate = result.learning_rate,
                               .tokens = static_cast<uint64_t>(counters_.consumed_tokens),
                               .tokens_per_second = static_cast<double>(result.num_tokens) / seconds,
                               .step_seconds = seconds,
                               .time = unix_time()};
    record.mfu = model::training_flops(parts_.model->spec, result.num_tokens, result.num_pairs) / seconds /
                 peak_flops_;
    if (!result.expert_tokens.empty())
      record.extra.emplace_back("expert_load_max_over_mean", expert_load_max_over_mean(result.expert_tokens));
    if (config_.model.expert_capacity_factor > 0)
      record.extra.emplace_back("dropped_tokens", result.dropped_share);
    for (size_t depth = 0; depth < result.mtp_losses.size(); ++depth)
      record.extra.emplace_back("mtp_loss_" + std::to_string(depth + 1), result.mtp_losses[depth]);
    if (result.balance_loss != 0) record.extra.emplace_back("balance_loss", result.balance_loss);
    if (result.is_skipped) record.extra.emplace_back("skipped", 1.0);
    observers_.on_step(record);
    if (result.is_skipped && session_.rank() == 0)
      core::log::warning("step {}: loss {} and gradient norm {}: not finite, nothing was updated",
                         result.step, result.loss, result.grad_norm);
  }

  void stop_if_hopeless(const StepResult& result) {
    if (counters_.skipped_in_a_row < config_.training.max_skipped_steps) return;
    const int64_t last_saved = keeper_.last_saved_step();
    throw core::PolicyStop(
        "{} steps in a row were not finite (training.max_skipped_steps); {}. Lower optimizer.learning_rate "
        "or look at the data around sample {}",
        counters_.skipped_in_a_row,
        last_saved < 0 ? "no checkpoint was saved"
                       : fmt::format("the last checkpoint is of step {}", last_saved),
        counters_.consumed_samples - config_.training.global_batch_size * (result.is_skipped ? 1 : 0));
  }

  void validate_if_due() {
    if (!parts_.validator || !config_.training.validate_every ||
        counters_.step % config_.training.validate_every)
      return;
    session_.progress().enter(parallel::Phase::kValidation);
    const double loss = parts_.validator->loss();
    const bool is_better = counters_.num_validations == 0 || loss < counters_.best_validation_loss;
    if (is_better) counters_.best_validation_loss = loss;
    counters_.validations_without_improvement = is_better ? 0 : counters_.validations_without_improvement + 1;
    ++counters_.num_validations;
    observers_.on_validation(
        {.step = static_cast<uint64_t>(counters_.step), .loss = loss, .time = unix_time()});
  }

  bool is_out_of_patience() const {
    const int64_t patience = config_.training.early_stop_patience;
    if (!patience || counters_.validations_without_improvement < patience) return false;
    core::log::info(
        "step {}: no better validation loss than {} in {} validations: the run ends "
        "(training.early_stop_patience)",
        counters_.step, counters_.best_validation_loss, patience);
    return true;
  }

  Observation observe_together() {
    Observation mine{.stop_requested = options_.stop_signal && options_.stop_signal->load() != 0,
                     .save_is_due = save_is_pending_ || keeper_.is_due(counters_.step),
                     .writer_is_busy = keeper_.is_writing(),
                     .writer_failed = keeper_.report_failure()};
    const Observation seen = agree(mine, session_.world());
    save_is_pending_ = seen.save_is_due && seen.writer_is_busy;
    return seen;
  }

  void save() {
    session_.progress().enter(parallel::Phase::kCheckpoint);
    const double time = unix_time(), stall = keeper_.save(counters_);
    observers_.on_checkpoint({.step = static_cast<uint64_t>(counters_.step),
                              .time = time,
                              .stall_seconds = stall,
                              .path = keeper_.path_of(counters_.step)});
  }

  Outcome end(Outcome outcome) {
    if (outcome == Outcome::kFinished && !config_.checkpoint.save_at_end) {
      keeper_.wait();
      return outcome;
    }
    keeper_.report_failure();
    keeper_.save_and_wait(counters_);
    session_.world().barrier();
    return outcome;
  }

  const TrainerOptions& options_;
  const configs::RunConfig& config_;
  parallel::Session& session_;
  RunParts parts_;
  CheckpointKeeper keeper_;
  observe::ObserverList observers_;
  RunCounters counters_;
  double peak_flops_ = 0;
  bool save_is_pending_ = false;
};

}  // namespace

Outcome train(const TrainerOptions& options, parallel::Session& session) {
  std::unique_ptr<checkpoints::DirectoryLock> lock;
  if (session.rank() == 0) lock = lock_run(options.config);
  session.world().barrier();
  return Run(options, session).loop();
}

}  // namespace athanor::trainer
