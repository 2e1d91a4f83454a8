// The sections `training`, `optimizer`, `schedule` and `parallel`: what one step does and when the run ends.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "configs/option.h"

namespace athanor::configs {

struct TrainingConfig {
  int64_t global_batch_size = 16;
  int64_t micro_batch_size = 4;
  int64_t max_steps = 0;
  int64_t max_tokens = 0;
  double max_epochs = 0.0;
  std::string precision = "bf16";
  std::string fp8_scale = "power_of_two";
  std::string recompute = "none";
  std::string reproducible = "fast";
  int64_t stop_after_steps = 0;
  int64_t validate_every = 0;
  int64_t validation_batches = 0;
  int64_t early_stop_patience = 0;
  int64_t max_skipped_steps = 10;

  static void describe(auto& section, auto& visit) {
    visit("global_batch_size", section.global_batch_size,
          {.meaning = "sequences per optimizer step, all ranks together",
           .unit = "sequences",
           .minimum = 1,
           .maximum = 1 << 24});
    visit("micro_batch_size", section.micro_batch_size,
          {.meaning = "sequences per forward and backward pass on one rank",
           .unit = "sequences",
           .minimum = 1,
           .maximum = 65536});
    describe_end(section, visit);
    visit("precision", section.precision,
          {.meaning =
               "number format of weights and activations in the forward and backward pass; masters are fp32; "
               "fp8: the products of linear layers run on E4M3 tiles, everything else is bf16",
           .choices = {"fp32", "bf16", "fp8"}});
    visit("fp8_scale", section.fp8_scale,
          {.meaning =
               "precision fp8: scales of the tiles; power_of_two keeps values exact when tiles are cut anew",
           .choices = {"power_of_two", "fp32"}});
    visit("recompute", section.recompute,
          {.meaning = "what is computed again in the backward pass instead of being kept from the forward "
                      "pass; selective: "
                      "norms, latent up-projections and activations (attention is kept)",
           .choices = {"none", "selective", "full"}});
    visit(
        "reproducible", section.reproducible,
        {.meaning =
             "strict: the same bits on every layout that can give them; fast: gradients are reduced once per "
             "step (parallel.zero 0 and 1) and an expert's weight gradient is one product over the rows of "
             "all ranks, so bits depend on the degrees",
         .choices = {"fast", "strict"}});
    describe_validation(section, visit);
    visit("max_skipped_steps", section.max_skipped_steps,
          {.meaning =
               "stop, with exit code 70, after so many steps in a row whose loss or gradient is not finite",
           .unit = "steps",
           .minimum = 1,
           .maximum = 1e9});
  }

  bool operator==(const TrainingConfig&) const = default;

 private:
  static void describe_end(auto& section, auto& visit) {
    visit("max_steps", section.max_steps,
          {.meaning = "the run ends after so many steps (0: another limit ends it)",
           .unit = "steps",
           .minimum = 0,
           .maximum = 1e15});
    visit("max_tokens", section.max_tokens,
          {.meaning = "the run ends after so many training tokens (0: another limit ends it)",
           .unit = "tokens",
           .minimum = 0,
           .maximum = 1e18});
    visit("max_epochs", section.max_epochs,
          {.meaning = "the run ends after so many passes over the training data (0: another limit ends it)",
           .unit = "epochs",
           .minimum = 0,
           .maximum = 1e6});
    visit("stop_after_steps", section.stop_after_steps,
          {.meaning = "leave with exit code 0 and a checkpoint after so many steps of this start (0: never)",
           .unit = "steps",
           .minimum = 0,
           .maximum = 1e15});
  }

  static void describe_validation(auto& section, auto& visit) {
    visit("validate_every", section.validate_every,
          {.meaning = "steps between validations (0: no validation, whatever validation_batches says)",
           .unit = "steps",
           .minimum = 0,
           .maximum = 1e15});
    visit("validation_batches", section.validation_batches,
          {.meaning = "global batches of one validation (0: all the validation data)",
           .unit = "batches",
           .minimum = 0,
           .maximum = 1e12});
    visit("early_stop_patience", section.early_stop_patience,
          {.meaning = "the run ends after so many validations in a row without a better loss (0: never)",
           .unit = "validations",
           .minimum = 0,
           .maximum = 1e9});
  }
};

struct OptimizerConfig {
  std::string name = "adamw";
  double learning_rate = 3e-4;
  std::vector<double> betas = {0.9, 0.95};
  double eps = 1e-8;
  double weight_decay = 0.1;
  double grad_clip = 1.0;
  std::string moments = "fp32";
  std::vector<std::string> no_decay;

  static void describe(auto& section, auto& visit) {
    visit("name", section.name, {.meaning = "optimizer", .choices = {"adamw"}});
    visit("learning_rate", section.learning_rate,
          {.meaning = "highest learning rate, reached at the end of the warm-up",
           .minimum = 0,
           .maximum = 10,
           .above_minimum = true});
    visit("betas", section.betas,
          {.meaning = "decay rates of the two moments", .minimum = 0, .maximum = 0.9999999});
    visit("eps", section.eps,
          {.meaning = "added to the square root of the second moment",
           .minimum = 0,
           .maximum = 1,
           .above_minimum = true});
    visit("weight_decay", section.weight_decay,
          {.meaning = "decoupled weight decay per step, times the learning rate",
           .minimum = 0,
           .maximum = 100});
    visit("grad_clip", section.grad_clip,
          {.meaning = "largest global gradient norm; longer gradients are scaled down to it (0: off)",
           .minimum = 0});
    visit("moments", section.moments,
          {.meaning = "number format that the two moments are kept in", .choices = {"fp32", "bf16"}});
    visit(
        "no_decay", section.no_decay,
        {.meaning =
             "parameter names, with * and ?, that are not decayed (empty: all 1-D parameters, that is norms "
             "and biases)"});
  }

  bool operator==(const OptimizerConfig&) const = default;
};

struct ScheduleConfig {
  double warmup_ratio = 0.0;
  int64_t warmup_steps = 0;
  std::string decay = "cosine";
  double min_ratio = 0.1;
  double decay_ratio = 0.2;

  static void describe(auto& section, auto& visit) {
    visit("warmup_ratio", section.warmup_ratio,
          {.meaning = "share of all steps in which the learning rate rises linearly from 0",
           .minimum = 0,
           .maximum = 1});
    visit("warmup_steps", section.warmup_steps,
          {.meaning = "the same as a number of steps (0: warmup_ratio decides)",
           .unit = "steps",
           .minimum = 0,
           .maximum = 1e15});
    visit("decay", section.decay,
          {.meaning = "shape of the learning rate after the warm-up; wsd stays high and falls at the end",
           .choices = {"cosine", "linear", "constant", "wsd"}});
    visit("min_ratio", section.min_ratio,
          {.meaning = "what the learning rate has fallen to when the run is over, as a share of the highest",
           .minimum = 0,
           .maximum = 1});
    visit("decay_ratio", section.decay_ratio,
          {.meaning = "wsd: share of all steps in the final fall", .minimum = 0, .maximum = 1});
  }

  bool operator==(const ScheduleConfig&) const = default;
};

struct ParallelConfig {
  int64_t zero = 1;
  int64_t data = 0;
  int64_t tensor = 1;
  int64_t expert = 1;
  int64_t pipeline = 1;
  int64_t context = 1;
  int64_t prefetch_blocks = 1;
  bool expert_tensor = false;
  std::string expert_payload = "auto";
  double timeout = 600;
  std::string gather_precision = "auto";

  static void describe(auto& section, auto& visit) {
    visit(
        "zero", section.zero,
        {.meaning =
             "what data-parallel ranks share out: 0 nothing, 1 masters and moments, 2 also gradients, 3 also "
             "weights",
         .minimum = 0,
         .maximum = 3});
    visit("data", section.data,
          {.meaning = "data-parallel degree (auto: all ranks that the other degrees leave)",
           .unit = "ranks",
           .minimum = 0,
           .maximum = 65536,
           .word_for_zero = "auto"});
    describe_degree(visit, "tensor", section.tensor, "tensor-parallel degree: splits heads and widths");
    describe_degree(visit, "expert", section.expert, "expert-parallel degree: splits the experts of a layer");
    describe_degree(visit, "pipeline", section.pipeline, "pipeline-parallel degree: splits the layers");
    describe_degree(visit, "context", section.context, "context-parallel degree: splits each sequence");
    visit("timeout", section.timeout,
          {.meaning =
               "a rank that others wait for longer than this is reported and the job ends (exit code 76)",
           .unit = "seconds",
           .minimum = 0,
           .above_minimum = true});
    visit("prefetch_blocks", section.prefetch_blocks,
          {.meaning = "zero 3: blocks whose weights are gathered ahead of use",
           .unit = "blocks",
           .minimum = 0,
           .maximum = 64});
    visit(
        "expert_tensor", section.expert_tensor,
        {.meaning = "tensor parallelism cuts the width of every expert too; false: a tensor rank holds whole "
                    "experts for its own tokens"});
    visit("expert_payload", section.expert_payload,
          {.meaning = "what rows are rounded to on their way to the experts and back (auto: fp8 under "
                      "precision fp8 with "
                      "power_of_two scales, else what the blocks compute in, so nothing is rounded)",
           .choices = {"auto", "fp32", "bf16", "fp8"}});
    visit("gather_precision", section.gather_precision,
          {.meaning =
               "number format in which the weights of linear layers travel between data-parallel ranks under "
               "training.precision fp8; the same numbers arrive either way (auto: fp8, half the bytes)",
           .choices = {"auto", "bf16", "fp8"}});
  }

  bool operator==(const ParallelConfig&) const = default;

 private:
  static void describe_degree(auto& visit, const char* name, auto& degree, const char* meaning) {
    visit(name, degree, {.meaning = meaning, .unit = "ranks", .minimum = 1, .maximum = 65536});
  }
};

}  // namespace athanor::configs
