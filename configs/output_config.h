// The sections `run`, `checkpoint` and `metrics`: where a run lives and what it leaves behind.
#pragma once

#include <cstdint>
#include <string>

#include "configs/option.h"

namespace athanor::configs {

/// The `run` section.
struct ProcessConfig {
  std::string name = "run";
  std::string dir;
  int64_t seed = 1234;
  std::string device = "cpu";
  bool share_devices = false;
  int64_t threads = 0;
  std::string pin = "auto";
  std::string log_level = "info";

  static void describe(auto& section, auto& visit) {
    visit("name", section.name, {.meaning = "name of the run, shown in logs and reports"});
    visit("dir", section.dir, {.meaning = "directory of everything the run writes (empty: runs/NAME)"});
    visit("seed", section.seed,
          {.meaning = "start of all random numbers: new weights, order of the data", .minimum = 0});
    visit("device", section.device,
          {.meaning = "where tensors live: host memory, or one NVIDIA GPU for each rank of a machine",
           .choices = {"cpu", "cuda"}});
    visit("share_devices", section.share_devices,
          {.meaning = "several ranks of a machine may use one GPU (for trying things out: they take turns)"});
    visit("threads", section.threads,
          {.meaning = "compute threads of one rank (0: the machine's cores shared by its ranks)",
           .unit = "threads",
           .minimum = 0,
           .maximum = 4096});
    visit("pin", section.pin,
          {.meaning = "auto: where a machine has at least one core per rank, each rank keeps to cores of its "
                      "own, within a NUMA node where possible, unless the launcher has placed the ranks "
                      "already; none: the system places them",
           .choices = {"auto", "none"}});
    visit("log_level", section.log_level,
          {.meaning = "least serious messages on the console; the log file of a rank holds all",
           .choices = {"debug", "info", "warning", "error"}});
  }

  bool operator==(const ProcessConfig&) const = default;
};

struct CheckpointConfig {
  std::string dir;
  std::string every = "10m";
  int64_t keep = 3;
  bool save_at_end = true;

  static void describe(auto& section, auto& visit) {
    visit("dir", section.dir, {.meaning = "directory of the checkpoints (empty: RUN/checkpoints)"});
    visit("every", section.every,
          {.meaning =
               "time or steps between checkpoints: 60s, 5m, 2h, or a number of steps as `100` or `100 steps` "
               "(0: only at the end)",
           .is_duration = true});
    visit("keep", section.keep,
          {.meaning = "newest checkpoints that are kept; older ones are removed (0: keep all)",
           .unit = "checkpoints",
           .minimum = 0,
           .maximum = 1e9});
    visit("save_at_end", section.save_at_end, {.meaning = "save a checkpoint after the last step"});
  }

  bool operator==(const CheckpointConfig&) const = default;
};

struct MetricsConfig {
  int64_t every = 1;
  bool tensorboard = true;
  int64_t prometheus_port = 0;

  static void describe(auto& section, auto& visit) {
    visit("every", section.every,
          {.meaning = "steps between lines on the console; metrics.jsonl has every step",
           .unit = "steps",
           .minimum = 1,
           .maximum = 1e9});
    visit("tensorboard", section.tensorboard, {.meaning = "write RUN/tensorboard"});
    visit("prometheus_port", section.prometheus_port,
          {.meaning = "port on which rank 0 answers Prometheus at /metrics (0: off)",
           .minimum = 0,
           .maximum = 65535});
  }

  bool operator==(const MetricsConfig&) const = default;
};

}  // namespace athanor::configs
