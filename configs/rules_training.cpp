#include <algorithm>
#include <cmath>

#include <fmt/core.h>
#include <fmt/format.h>

#include "configs/rule_list.h"

namespace athanor::configs {

namespace {

void check_end(const TrainingConfig& training, Rules& rules) {
  std::vector<std::string> limits;
  if (training.max_steps > 0) limits.emplace_back("training.max_steps");
  if (training.max_tokens > 0) limits.emplace_back("training.max_tokens");
  if (training.max_epochs > 0) limits.emplace_back("training.max_epochs");
  rules.require(
      !limits.empty(), {"training.max_steps", "training.max_tokens", "training.max_epochs"},
      "nothing ends the run; give one of training.max_steps, training.max_tokens, training.max_epochs");
  if (limits.size() <= 1) return;
  std::vector<std::string> keys(limits.rbegin(), limits.rend());
  rules.require(false, keys, "only one of {} may end the run; keep one", fmt::join(limits, ", "));
}

// Ranks that share a micro batch.
int64_t ranks_per_replica(const ParallelConfig& parallel) {
  return parallel.pipeline * parallel.context * parallel.tensor;
}

void check_batch(const RunConfig& config, std::optional<int64_t> world_size, Rules& rules) {
  const int64_t global = config.training.global_batch_size;
  const int64_t micro = config.training.micro_batch_size;
  const int64_t others = ranks_per_replica(config.parallel);
  if (world_size && *world_size % others != 0) return;  // check_degrees says so
  const int64_t ranks = world_size ? *world_size / others : std::max<int64_t>(1, config.parallel.data);
  rules.require(
      global % (micro * ranks) == 0,
      {"training.global_batch_size", "training.micro_batch_size", "parallel.data"},
      "{} is not a multiple of training.micro_batch_size {} x {} data-parallel rank{} = {}; change one of "
      "them",
      global, micro, ranks, ranks == 1 ? "" : "s", micro * ranks);
  const int64_t step_tokens = global * config.data.sequence_length;
  rules.require(
      config.training.max_tokens == 0 || config.training.max_tokens >= step_tokens,
      {"training.max_tokens", "training.global_batch_size", "data.sequence_length"},
      "{} is less than the {} tokens of one step (training.global_batch_size {} x data.sequence_length {})",
      config.training.max_tokens, step_tokens, global, config.data.sequence_length);
}

void check_validation(const RunConfig& config, Rules& rules) {
  const TrainingConfig& training = config.training;
  rules.require(training.validate_every == 0 || !config.data.validation.empty(),
                {"training.validate_every", "data.validation"},
                "{} steps between validations, but data.validation is empty; give it files or set this to 0",
                training.validate_every);
  rules.require(training.early_stop_patience == 0 || training.validate_every > 0,
                {"training.early_stop_patience", "training.validate_every"},
                "{} validations of patience, but training.validate_every is 0; set how often to validate",
                training.early_stop_patience);
}

void check_data(const RunConfig& config, Rules& rules) {
  rules.require(!config.data.train.empty(), {"data.train"},
                "no training data; give a list such as [{{path: \"shards/train-*.h5\"}}]");
}

void check_optimizer(const OptimizerConfig& optimizer, Rules& rules) {
  rules.require(optimizer.betas.size() == 2, {"optimizer.betas"},
                "expected 2 numbers such as [0.9, 0.95], found {}", optimizer.betas.size());
}

// How many steps training.max_tokens allows; 0: it sets no limit.
int64_t steps_of_max_tokens(const RunConfig& config) {
  const int64_t per_step = config.training.global_batch_size * config.data.sequence_length;
  return config.training.max_tokens / per_step + (config.training.max_tokens % per_step ? 1 : 0);
}

void check_schedule(const RunConfig& config, Rules& rules) {
  const ScheduleConfig& schedule = config.schedule;
  rules.require(schedule.decay == "wsd" || schedule.decay_ratio == ScheduleConfig{}.decay_ratio,
                {"schedule.decay_ratio", "schedule.decay"},
                "{} has no effect with schedule.decay {}; choose wsd or remove it", schedule.decay_ratio,
                schedule.decay);
  rules.require(schedule.decay != "constant" || schedule.min_ratio == ScheduleConfig{}.min_ratio,
                {"schedule.min_ratio", "schedule.decay"},
                "{} has no effect with schedule.decay constant; choose another decay or remove it",
                schedule.min_ratio);
  const int64_t max_steps = config.training.max_steps, token_steps = steps_of_max_tokens(config);
  rules.require(schedule.warmup_steps == 0 || schedule.warmup_ratio == 0,
                {"schedule.warmup_steps", "schedule.warmup_ratio"},
                "{} steps and schedule.warmup_ratio {} both set the warm-up; keep one", schedule.warmup_steps,
                schedule.warmup_ratio);
  rules.require(max_steps == 0 || schedule.warmup_steps <= max_steps,
                {"schedule.warmup_steps", "training.max_steps"},
                "{} is above training.max_steps {}; lower it", schedule.warmup_steps, max_steps);
  rules.require(
      token_steps == 0 || schedule.warmup_steps <= token_steps,
      {"schedule.warmup_steps", "training.max_tokens", "training.global_batch_size", "data.sequence_length"},
      "{} is above the {} steps that training.max_tokens {} allows; lower it", schedule.warmup_steps,
      token_steps, config.training.max_tokens);
  if (schedule.decay != "wsd") return;
  const double warmup = max_steps > 0 && schedule.warmup_steps > 0
                            ? static_cast<double>(schedule.warmup_steps) / static_cast<double>(max_steps)
                            : schedule.warmup_ratio;
  rules.require(
      warmup + schedule.decay_ratio <= 1.0 || warmup > 1.0,
      {"schedule.decay_ratio", "schedule.warmup_ratio", "schedule.warmup_steps", "training.max_steps"},
      "{} of the steps for the decay and {} for the warm-up are more than all; lower one",
      schedule.decay_ratio, warmup);
}

void check_fp8(const RunConfig& config, Rules& rules) {
  const TrainingConfig& training = config.training;
  const std::string& gather = config.parallel.gather_precision;
  const bool is_fp8 = training.precision == "fp8";
  rules.require(is_fp8 || training.fp8_scale == "power_of_two", {"training.fp8_scale", "training.precision"},
                "{} scales, but training.precision is {}; set it to fp8 or leave this out",
                training.fp8_scale, training.precision);
  rules.require(is_fp8 || gather == "auto", {"parallel.gather_precision", "training.precision"},
                "{}, but training.precision is {}: weights travel as they are; leave this at auto", gather,
                training.precision);
}

void check_degrees(const ParallelConfig& parallel, std::optional<int64_t> world_size, Rules& rules) {
  const int64_t others = ranks_per_replica(parallel);
  if (world_size && parallel.data != 0)
    rules.require(
        parallel.data * others == *world_size,
        {"parallel.data", "parallel.tensor", "parallel.pipeline", "parallel.context"},
        "{} x tensor {} x pipeline {} x context {} = {} ranks, but {} were started; start {} or set "
        "parallel.data to auto",
        parallel.data, parallel.tensor, parallel.pipeline, parallel.context, parallel.data * others,
        *world_size, parallel.data * others);
  else if (world_size)
    rules.require(*world_size % others == 0, {"parallel.tensor", "parallel.pipeline", "parallel.context"},
                  "tensor {} x pipeline {} x context {} = {} does not divide the {} ranks that were started; "
                  "start a multiple of {} or change a degree",
                  parallel.tensor, parallel.pipeline, parallel.context, others, *world_size, others);
  const int64_t data = world_size && *world_size % others == 0 ? *world_size / others : parallel.data;
  rules.require(
      data == 0 || data * parallel.context % parallel.expert == 0, {"parallel.expert", "parallel.data"},
      "{} does not divide parallel.data {} x context {} = {}: experts are spread over the ranks that "
      "hold the same dense weights",
      parallel.expert, data, parallel.context, data * parallel.context);
}

void check_expert(const RunConfig& config, Rules& rules) {
  const ParallelConfig& parallel = config.parallel;
  const bool is_known = config.model.from.empty();  // else the model is checked when it is opened
  const int64_t experts = config.model.n_routed_experts;
  rules.require(
      !is_known || experts > 0 || parallel.expert == 1, {"parallel.expert", "model.n_routed_experts"},
      "{} ranks have no experts to share out: model.n_routed_experts is 0; set parallel.expert to 1",
      parallel.expert);
  rules.require(
      !is_known || experts % parallel.expert == 0, {"parallel.expert", "model.n_routed_experts"},
      "{} does not divide model.n_routed_experts {}; every rank of the expert axis holds equally many",
      parallel.expert, experts);
  rules.require(!is_known || experts > 0 || parallel.expert_payload == "auto",
                {"parallel.expert_payload", "model.n_routed_experts"},
                "{} has no effect on a network without routed experts; remove it", parallel.expert_payload);
  rules.require(!parallel.expert_tensor || (parallel.tensor > 1 && (!is_known || experts > 0)),
                {"parallel.expert_tensor", "parallel.tensor", "model.n_routed_experts"},
                "true has no effect with parallel.tensor {} and model.n_routed_experts {}; remove it",
                parallel.tensor, experts);
  rules.require(
      !parallel.expert_tensor || !is_known || config.model.moe_intermediate_size % parallel.tensor == 0,
      {"parallel.expert_tensor", "parallel.tensor", "model.moe_intermediate_size"},
      "parallel.tensor {} does not divide model.moe_intermediate_size {}; set it to false or change one "
      "of them",
      parallel.tensor, config.model.moe_intermediate_size);
  rules.require(parallel.expert_payload != "fp32" || config.training.precision == "fp32",
                {"parallel.expert_payload", "training.precision"},
                "fp32 is wider than what is computed in training.precision {}; choose auto",
                config.training.precision);
}

// Whether some layer has the dense feed-forward part.
bool has_dense_layer(const ModelConfig& model) {
  if (!model.is_moe() || model.first_k_dense_replace > 0 || !model.mlp_only_layers.empty()) return true;
  return model.decoder_sparse_step > 1;
}

// Tensor parallelism cuts heads, widths, the vocabulary and, between layers, the tokens of a micro batch.
void check_tensor(const RunConfig& config, Rules& rules) {
  const int64_t tensor = config.parallel.tensor;
  const ModelConfig& model = config.model;
  const auto divides = [&](int64_t size, std::vector<std::string> keys, const std::string& what) {
    keys.insert(keys.begin(), "parallel.tensor");
    rules.require(size % tensor == 0, std::move(keys), "{} does not divide {} {}; change one of them", tensor,
                  what, size);
  };
  divides(config.training.micro_batch_size * config.data.sequence_length,
          {"training.micro_batch_size", "data.sequence_length"},
          fmt::format("training.micro_batch_size {} x data.sequence_length {} =",
                      config.training.micro_batch_size, config.data.sequence_length));
  if (!model.from.empty()) return;
  const auto divides_option = [&](int64_t size, const std::string& option) {
    divides(size, {"model." + option}, "model." + option);
  };
  divides_option(model.num_attention_heads, "num_attention_heads");
  if (!model.has_latent_attention()) divides_option(model.key_value_heads(), "num_key_value_heads");
  divides_option(model.vocab_size, "vocab_size");
  if (has_dense_layer(model)) divides_option(model.intermediate_size, "intermediate_size");
  if (model.is_moe())
    divides(model.moe_intermediate_size * model.n_shared_experts,
            {"model.moe_intermediate_size", "model.n_shared_experts"},
            fmt::format("model.moe_intermediate_size {} x n_shared_experts {} =", model.moe_intermediate_size,
                        model.n_shared_experts));
}

void check_parallel(const ParallelConfig& parallel, Rules& rules) {
  const std::pair<const char*, int64_t> degrees[] = {{"parallel.pipeline", parallel.pipeline},
                                                     {"parallel.context", parallel.context}};
  for (const auto& [key, degree] : degrees) {
    rules.require(
        degree == 1, {key},
        "{} is not available in this version; available: 1 (ranks share the work through parallel.data, "
        "parallel.tensor and parallel.zero)",
        degree);
  }
}

void check_run(const ProcessConfig& run, Rules& rules) {
  const bool is_name =
      !run.name.empty() && run.name.find('/') == std::string::npos && run.name != "." && run.name != "..";
  rules.require(is_name, {"run.name"},
                "expected a name without `/`, found `{}`; run.dir says where the run goes", run.name);
}

}  // namespace

void check_training_rules(const RunConfig& config, std::optional<int64_t> world_size,
                          Violations& violations) {
  Rules rules(violations);
  check_data(config, rules);
  check_end(config.training, rules);
  check_batch(config, world_size, rules);
  check_validation(config, rules);
  check_optimizer(config.optimizer, rules);
  check_schedule(config, rules);
  check_parallel(config.parallel, rules);
  check_fp8(config, rules);
  check_degrees(config.parallel, world_size, rules);
  check_expert(config, rules);
  check_tensor(config, rules);
}

void check_sequence_length(int64_t sequence_length, int64_t max_position_embeddings,
                           int64_t num_nextn_predict_layers, Violations& violations) {
  Rules rules(violations);
  rules.require(sequence_length <= max_position_embeddings,
                {"data.sequence_length", "model.max_position_embeddings"},
                "{} tokens is above model.max_position_embeddings {}; shorten it or raise the other",
                sequence_length, max_position_embeddings);
  rules.require(sequence_length > num_nextn_predict_layers + 1,
                {"data.sequence_length", "model.num_nextn_predict_layers"},
                "{} tokens leave nothing to predict {} tokens further (model.num_nextn_predict_layers)",
                sequence_length, num_nextn_predict_layers);
}

Violations broken_rules(const RunConfig& config, Purpose purpose, std::optional<int64_t> world_size) {
  Violations violations;
  Rules rules(violations);
  check_run(config.run, rules);
  if (purpose == Purpose::kCleaning) {
    check_clean_rules(config.clean, violations);
    return violations;
  }
  check_model_rules(config.model, violations);
  check_training_rules(config, world_size, violations);
  if (config.model.from.empty())
    check_sequence_length(config.data.sequence_length, config.model.max_position_embeddings,
                          config.model.num_nextn_predict_layers, violations);
  return violations;
}

}  // namespace athanor::configs
