// One run: the whole configuration file as one value. Every part of the program receives its own section's
// struct.
//
// A new section is one member and one line in `describe`.
#pragma once

#include <string>

#include "configs/clean_config.h"
#include "configs/data_config.h"
#include "configs/model_config.h"
#include "configs/option.h"
#include "configs/output_config.h"
#include "configs/training_config.h"

namespace athanor::configs {

struct RunConfig {
  ProcessConfig run;
  std::string task = "pretrain";
  ModelConfig model;
  DataConfig data;
  TrainingConfig training;
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  ParallelConfig parallel;
  CheckpointConfig checkpoint;
  MetricsConfig metrics;
  CleanConfig clean;

  /// Directories with their defaults resolved.
  std::string run_dir() const { return run.dir.empty() ? "runs/" + run.name : run.dir; }
  std::string checkpoint_dir() const {
    return checkpoint.dir.empty() ? run_dir() + "/checkpoints" : checkpoint.dir;
  }

  static void describe(auto& section, auto& visit) {
    visit("run", section.run, {.meaning = "the run's name, place, seed and device"});
    visit("task", section.task,
          {.meaning = "what is trained for",
           .choices = {"pretrain"},
           .unavailable = {"sft", "dpo", "reward", "ppo", "grpo", "distill", "classify"}});
    visit("model", section.model, {.meaning = "the network"});
    visit("data", section.data, {.meaning = "token shards and how they become batches"});
    visit("training", section.training, {.meaning = "what one step does and when the run ends"});
    visit("optimizer", section.optimizer, {.meaning = "how gradients change the weights"});
    visit("schedule", section.schedule, {.meaning = "the learning rate over the run"});
    visit("parallel", section.parallel, {.meaning = "how ranks share the work"});
    visit("checkpoint", section.checkpoint, {.meaning = "when and where the training state is saved"});
    visit("metrics", section.metrics, {.meaning = "what is reported while training"});
    visit("clean", section.clean, {.meaning = "cleaning of raw text; not used in training"});
  }

  bool operator==(const RunConfig&) const = default;
};

}  // namespace athanor::configs
