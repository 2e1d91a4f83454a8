#include "trainer/run_parts.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "configs/rules.h"
#include "core/error.h"
#include "core/file_system.h"
#include "core/glob_match.h"
#include "core/log.h"
#include "data/shards/file_pool.h"
#include "data/shards/shard_reader.h"
#include "data/tokenizer/tokenizer.h"
#include "inference/model_files.h"
#include "model/initialise.h"

namespace athanor::trainer {
namespace {

using configs::RunConfig;
using parallel::Axis;

parallel::MeshDegrees mesh_degrees(const configs::ParallelConfig& config) {
  return {.pipeline = static_cast<int>(config.pipeline),
          .data = static_cast<int>(config.data),
          .context = static_cast<int>(config.context),
          .expert = static_cast<int>(config.expert),
          .tensor = static_cast<int>(config.tensor)};
}

Recompute recompute_of(const std::string& name) {
  if (name == "selective") return Recompute::kSelective;
  return name == "full" ? Recompute::kFull : Recompute::kNone;
}

data::LoaderOptions loader_options(const RunConfig& config,
                                   const std::vector<configs::DataSourceConfig>& sources,
                                   int64_t vocab_size) {
  data::LoaderOptions options;
  for (const auto& source : sources) options.sources.push_back({{source.path}, source.weight});
  options.sequence_length = static_cast<uint64_t>(config.data.sequence_length);
  options.seed = static_cast<uint64_t>(config.run.seed);
  options.shuffle = config.data.shuffle;
  options.vocabulary_size = static_cast<uint64_t>(vocab_size);
  return options;
}

struct ShardFacts {
  int64_t vocabulary_size;
  std::string tokenizer_digest;
};

// What the first training shard says of its tokenizer (the loader checks that all agree).
ShardFacts first_shard(const RunConfig& config) {
  const std::string& pattern = config.data.train.front().path;
  const auto paths = core::glob(pattern);
  if (paths.empty())
    throw core::MissingInputError("data.train: {}: no file matches; build shards with `athanor shards build`",
                                  pattern);
  data::FilePool pool(core::posix_file_system());
  const auto shards = data::ShardReader::open_all(pool, std::span(paths.data(), 1));
  return {static_cast<int64_t>(shards.front().vocabulary_size()), shards.front().tokenizer_digest()};
}

model::BalanceOptions balance_options(const configs::ModelConfig& config, const model::ModelSpec& spec) {
  if (spec.n_routed_experts == 0) return {};
  if (spec.architecture != model::Architecture::kDeepseekV3)
    return {.batch_loss_weight = config.router_aux_loss_coef};
  return {.bias_update_rate = config.router_bias_update_rate,
          .sequence_loss_weight = config.sequence_aux_loss_weight};
}

model::ExpertOptions expert_options(const RunConfig& config) {
  std::string payload = config.parallel.expert_payload;
  // Rows with power-of-two scales are what the experts' products would quantise anyway.
  if (payload == "auto" && config.training.precision == "fp8" && config.training.fp8_scale == "power_of_two")
    payload = "fp8";
  return {.capacity = {.factor = config.model.expert_capacity_factor,
                       .policy = config.model.expert_capacity_policy == "score"
                                     ? model::CapacityPolicy::kScore
                                     : model::CapacityPolicy::kPosition},
          .payload = payload == "fp32"   ? model::Payload::kFp32
                     : payload == "bf16" ? model::Payload::kBf16
                     : payload == "fp8"  ? model::Payload::kFp8
                                         : model::Payload::kCompute,
          .joins_sources = config.training.reproducible == "fast"};
}

optim::ScheduleOptions schedule_options(const RunConfig& config, int64_t num_steps) {
  optim::ScheduleOptions options{.learning_rate = config.optimizer.learning_rate,
                                 .total_steps = num_steps,
                                 .warmup_steps = config.schedule.warmup_steps,
                                 .warmup_ratio = config.schedule.warmup_ratio,
                                 .min_ratio = config.schedule.min_ratio,
                                 .decay_ratio = config.schedule.decay_ratio};
  const std::string& decay = config.schedule.decay;
  options.kind = decay == "cosine"     ? optim::ScheduleKind::kCosine
                 : decay == "linear"   ? optim::ScheduleKind::kLinear
                 : decay == "constant" ? optim::ScheduleKind::kConstant
                                       : optim::ScheduleKind::kWarmupStableDecay;
  return options;
}

// Decayed is what no pattern of `no_decay` names; without patterns, what has two dimensions or more.
bool is_decayed(const parallel::FlatParameter& parameter, const std::vector<std::string>& no_decay) {
  if (no_decay.empty()) return parameter.shape.size() >= 2;
  return std::none_of(no_decay.begin(), no_decay.end(), [&](const std::string& pattern) {
    return core::matches_glob(pattern, parameter.name);
  });
}

void check_patterns(const std::vector<std::string>& no_decay, const ParameterStore& store) {
  std::vector<std::string> names;
  for (const OptimizerSlice& slice : store.slices())
    for (const parallel::FlatParameter& parameter : slice.layout->parameters())
      names.push_back(parameter.name);
  for (const std::string& pattern : no_decay) {
    const bool is_used = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
      return core::matches_glob(pattern, name);
    });
    if (!is_used)
      throw core::ConfigError("optimizer.no_decay: {} matches no parameter; names are such as {} and {}",
                              pattern, names.front(), names.back());
  }
}

std::unique_ptr<optim::AdamWOptimizer> build_optimizer(const configs::OptimizerConfig& config,
                                                       const ParameterStore& store) {
  check_patterns(config.no_decay, store);
  std::vector<optim::OptimizerSlice> slices;
  for (const OptimizerSlice& slice : store.slices()) {
    const auto decays = [&](const parallel::FlatParameter& parameter) {
      return is_decayed(parameter, config.no_decay);
    };
    slices.push_back(
        {std::to_string(slices.size()), slice.master, slice.layout->ranges(slice.range, decays)});
  }
  const optim::AdamWHyper hyper{.beta1 = config.betas.at(0),
                                .beta2 = config.betas.at(1),
                                .eps = config.eps,
                                .weight_decay = config.weight_decay,
                                .moment_dtype = config.moments == "bf16" ? at::kBFloat16 : at::kFloat};
  return std::make_unique<optim::AdamWOptimizer>(hyper, std::move(slices));
}

void load_weights(const RunConfig& config, inference::WeightSource* source, RunParts& parts) {
  const double range = parts.model->spec.initializer_range;
  const auto seed = static_cast<uint64_t>(config.run.seed);
  parts.store->load([&](const model::Parameter& parameter, int64_t begin, std::span<float> out) {
    if (source) {
      source->read(parameter, begin, out);
    } else {
      model::initialise(parameter, range, seed, begin, out);
    }
  });
  if (source)
    for (model::Buffer* buffer : model::all_buffers(*parts.model)) source->read(*buffer);
  for (model::Buffer* buffer : model::all_buffers(*parts.model))
    buffer->value = buffer->value.to(parts.device);
}

// The tokenizer.json that lies with the model that is loaded, if it made the shards.
std::string tokenizer_of_model(const RunConfig& config, const inference::ModelFiles& from,
                               bool is_first_rank) {
  if (!from.tokenizer) return "";
  const auto tokenizer = data::tokenizer::Tokenizer::from_file(*from.tokenizer);
  if (tokenizer.digest() == first_shard(config).tokenizer_digest) return *from.tokenizer;
  if (is_first_rank)
    core::log::warning(
        "{} did not make the shards in data.train: the model goes on with the ids of another vocabulary, and "
        "the run keeps no tokenizer.json; name the right one in data.tokenizer",
        *from.tokenizer);
  return "";
}

// A rule that waits for the shape of the model that is loaded.
void check_sequence_length(const RunConfig& config, const model::ModelSpec& spec) {
  configs::Violations violations;
  configs::check_sequence_length(config.data.sequence_length, spec.max_position_embeddings,
                                 spec.num_nextn_predict_layers, violations);
  if (!violations.empty())
    throw core::ConfigError("{} (the model is that of model.from {})", violations.front().message,
                            config.model.from);
}

// The tokenizer that goes with the run: it must be the one that made the shards; its end tokens become the
// model's.
void adopt_tokenizer(const RunConfig& config, model::ModelSpec& spec) {
  if (config.data.tokenizer.empty()) return;
  const auto tokenizer = data::tokenizer::Tokenizer::from_file(config.data.tokenizer);
  const std::string made_with = first_shard(config).tokenizer_digest;
  if (tokenizer.digest() != made_with)
    throw core::ConfigError(
        "data.tokenizer: {} has the digest {}, but the shards in data.train were made with {}; give the "
        "tokenizer that made them, or build the shards anew",
        config.data.tokenizer, tokenizer.digest(), made_with);
  if (!config.model.from.empty()) return;
  if (const auto bos = tokenizer.bos_id()) spec.bos_token_id = *bos;
  if (const auto eos = tokenizer.eos_id()) spec.eos_token_ids = {static_cast<int64_t>(*eos)};
}

ParameterStoreOptions store_options(const RunConfig& config, const at::Device& device) {
  ParameterStoreOptions options{
      .zero_stage = static_cast<int>(config.parallel.zero),
      .compute_dtype = config.training.precision == "fp32" ? at::kFloat : at::kBFloat16,
      .device = device,
      .gathers_fp8 = config.parallel.gather_precision != "bf16",
      .reduces_once_per_step = config.training.reproducible == "fast"};
  if (config.training.precision == "fp8")
    options.fp8 =
        config.training.fp8_scale == "fp32" ? kernels::Fp8Scale::kFp32 : kernels::Fp8Scale::kPowerOfTwo;
  return options;
}

void build_data(const RunConfig& config, RunParts& parts) {
  const int64_t vocab_size = parts.model->spec.vocab_size;
  auto& fs = core::posix_file_system();
  parts.train_data =
      std::make_shared<data::TokenDataset>(fs, loader_options(config, config.data.train, vocab_size));
  if (config.data.validation.empty()) return;
  data::LoaderOptions options = loader_options(config, config.data.validation, vocab_size);
  options.repeat = options.shuffle = false;
  parts.validation_data = std::make_shared<data::TokenDataset>(fs, options);
}

}  // namespace

int64_t total_steps(const configs::RunConfig& config, uint64_t sequences_per_epoch,
                    const RunCounters& so_far) {
  const configs::TrainingConfig& training = config.training;
  if (training.max_steps) return training.max_steps;
  const auto sequence_length = static_cast<double>(config.data.sequence_length);
  const double num_samples = training.max_tokens
                                 ? static_cast<double>(training.max_tokens) / sequence_length
                                 : training.max_epochs * static_cast<double>(sequences_per_epoch);
  const double left = std::max(0.0, num_samples - static_cast<double>(so_far.consumed_samples));
  const auto steps_left =
      static_cast<int64_t>(std::ceil(left / static_cast<double>(training.global_batch_size)));
  return std::max<int64_t>(so_far.step + steps_left, 1);
}

void set_end(const configs::RunConfig& config, const RunCounters& so_far, RunParts& parts) {
  parts.total_steps = total_steps(config, parts.train_data->num_sequences_per_epoch(), so_far);
  const optim::Schedule schedule(schedule_options(config, parts.total_steps));
  if (parts.schedule)
    *parts.schedule = schedule;
  else
    parts.schedule = std::make_unique<optim::Schedule>(schedule);
}

RunParts build_run_parts(const configs::RunConfig& config, parallel::Session& session) {
  RunParts parts;
  parts.device = session.device();
  parts.mesh = std::make_unique<parallel::Mesh>(mesh_degrees(config.parallel), session.size());
  parts.axes = std::make_unique<parallel::MeshCommunicators>(session, *parts.mesh);

  std::optional<inference::ModelFiles> from;
  if (!config.model.from.empty()) from = inference::open_model(config.model.from);
  model::ModelSpec spec =
      from ? from->spec : model::spec_from_config(config.model, first_shard(config).vocabulary_size);
  if (from) check_sequence_length(config, spec);
  adopt_tokenizer(config, spec);
  parts.tokenizer = from && config.data.tokenizer.empty()
                        ? tokenizer_of_model(config, *from, session.rank() == 0)
                        : config.data.tokenizer;
  parts.model = std::make_unique<model::Model>(model::build_model(
      spec,
      {.balance = balance_options(config.model, spec),
       .experts = expert_options(config),
       .axes = {.tensor = &parts.axis(Axis::kTensor),
                .expert = &parts.axis(Axis::kExpert),
                .expert_width = config.parallel.expert_tensor ? &parts.axis(Axis::kTensor) : nullptr}}));
  build_data(config, parts);

  parts.store = std::make_unique<ParameterStore>(*parts.model,
                                                 ReplicaAxes{.dense = parts.axis(Axis::kToken),
                                                             .dense_cut = parts.axis(Axis::kReplica),
                                                             .expert = parts.axis(Axis::kExpertToken),
                                                             .expert_cut = parts.axis(Axis::kExpertReplica)},
                                                 store_options(config, parts.device));
  load_weights(config, from ? from->weights.get() : nullptr, parts);
  parts.optimizer = build_optimizer(config.optimizer, *parts.store);

  set_end(config, {}, parts);
  parts.executor = std::make_unique<Executor>(
      *parts.model, *parts.store,
      Executor::Options{.recompute = recompute_of(config.training.recompute),
                        .prefetch_blocks = static_cast<size_t>(config.parallel.prefetch_blocks),
                        .progress = session.progress()});
  parts.step = std::make_unique<TrainStep>(
      *parts.model, *parts.store, *parts.executor, *parts.optimizer, *parts.schedule,
      StepAxes{.data = parts.data_axis(), .token = parts.axis(Axis::kToken)},
      TrainStepOptions{.grad_clip = config.optimizer.grad_clip,
                       .mtp_loss_weight = config.model.mtp_loss_weight});
  if (parts.validation_data) {
    const auto sequences =
        static_cast<uint64_t>(config.training.validation_batches * config.training.global_batch_size);
    parts.validator = std::make_unique<Validator>(
        *parts.model, *parts.executor, parts.data_axis(), parts.validation_data,
        ValidatorOptions{.micro_batch_size = static_cast<uint64_t>(config.training.micro_batch_size),
                         .max_sequences = sequences,
                         .device = parts.device});
  }
  parts.identity = {.model_config = model::spec_to_hf_config(spec, "float32"),
                    .data_fingerprint = parts.train_data->fingerprint(),
                    .tokenizer_digest = parts.train_data->tokenizer_digest(),
                    .seed = config.run.seed,
                    .sequence_length = config.data.sequence_length};
  return parts;
}

}  // namespace athanor::trainer
