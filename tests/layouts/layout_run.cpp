#include "tests/layouts/layout_run.h"

#include <bit>
#include <cmath>

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <fmt/core.h>

#include "core/digest.h"
#include "core/rng.h"
#include "model/initialise.h"
#include "parallel/self_communicator.h"
#include "trainer/step_totals.h"

namespace athanor::tests {
namespace {

constexpr int64_t kSequencesEach = 2, kLength = 24, kScheduleSteps = 20;

// Micro batch `m` of step `step`: a pure function of both, so every layout can make its own share.
model::MicroBatch data_of(const model::ModelSpec& spec, int64_t step, int64_t m) {
  const core::CounterRng rng(5, "layout data");
  std::vector<int64_t> ids, labels;
  for (int64_t s = 0; s < kSequencesEach; ++s) {
    for (int64_t t = 0; t < kLength; ++t) {
      const auto index =
          static_cast<uint64_t>(((step * kMicroBatches + m) * kSequencesEach + s) * kLength + t);
      // Skewed, so that something can be learnt and some experts get few tokens.
      ids.push_back(static_cast<int64_t>(rng.below(index, static_cast<uint64_t>(spec.vocab_size)) *
                                         rng.below(index + 1, 100) / 99));
    }
    for (int64_t t = 0; t < kLength; ++t) {
      const bool is_last = t + 1 == kLength;
      labels.push_back(is_last || (m == 3 && t < 5) ? kernels::kIgnoredLabel
                                                    : ids[static_cast<size_t>(s * kLength + t + 1)]);
    }
  }
  return micro_batch(spec, ids, labels, kLength);
}

HarnessOptions harness_options(const LayoutCase& layout) {
  return {.zero_stage = layout.zero,
          .compute_dtype = layout.dtype,
          .fp8 = layout.fp8,
          .gathers_fp8 = layout.zero != 2,  // the numbers do not depend on how they travel
          .is_fast = layout.is_fast,
          .recompute = layout.recompute,
          .adamw = {.weight_decay = 0.1},
          .schedule = {.kind = optim::ScheduleKind::kCosine,
                       .learning_rate = 3e-3,
                       .total_steps = kScheduleSteps,
                       .warmup_steps = 3},
          .balance = {.bias_update_rate = 1e-2, .sequence_loss_weight = 1e-2},
          .experts = layout.experts};
}

int64_t flat_index_of_whole(const model::HfPart& part, int64_t index) {
  if (part.is_whole()) return index;
  int64_t whole = 0, stride = 1;
  for (size_t dim = part.shape.size(); dim-- > 0;) {
    whole += (index % part.shape[dim] + part.offset[dim]) * stride;
    index /= part.shape[dim];
    stride *= part.global_shape[dim];
  }
  return whole;
}

uint64_t mixed(uint64_t x) {  // the finaliser of splitmix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

uint64_t seed_of(const std::string& text) {
  return std::stoull(core::digest_hex(text).substr(0, 16), nullptr, 16);
}

// Calls visit(state kind, part, element of the part's box, value) for every element that this rank alone
// saves.
template <typename Visit>
void for_each_own_element(Harness& made, const Visit& visit) {
  for (const auto& state : made.optimizer->state()) {
    const trainer::OptimizerSlice& slice = made.store->slices().at(std::stoul(state.slice));
    const at::Tensor values = state.values.to(at::kFloat);
    const float* at = values.const_data_ptr<float>() + (slice.shard.begin - slice.range.begin);
    for (const auto& piece : slice.layout->pieces(slice.shard))
      model::for_each_part(*slice.parameters->at(piece.parameter_idx), piece.parameter_begin,
                           piece.parameter_end,
                           [&](const model::HfPart& part, int64_t begin, int64_t end, int64_t position) {
                             for (int64_t i = begin; i < end; ++i)
                               visit(state.kind, part, i, at[piece.slice_begin + position + i - begin]);
                           });
  }
}

uint64_t sum_over(uint64_t value, parallel::Communicator& world) {
  const at::Tensor sum = at::tensor({static_cast<int64_t>(value)}, at::kLong);
  world.all_reduce(sum, parallel::ReduceOp::kSum).wait();
  return static_cast<uint64_t>(*sum.const_data_ptr<int64_t>());
}

// A sum of element hashes: no order, so no layout, shows in it.
uint64_t state_digest(Harness& made, parallel::Communicator& world) {
  uint64_t sum = 0;
  std::map<std::string, uint64_t> seeds;
  for_each_own_element(made, [&](const std::string& kind, const model::HfPart& part, int64_t i, float value) {
    auto [seed, is_new] = seeds.try_emplace(kind + "/" + part.name, 0);
    if (is_new) seed->second = seed_of(seed->first);
    sum += mixed(seed->second ^ mixed(static_cast<uint64_t>(flat_index_of_whole(part, i)) + 1) ^
                 std::bit_cast<uint32_t>(value));
  });
  uint64_t bias = 0;
  for (const model::Buffer* buffer : model::all_buffers(made.model))
    for (int64_t e = 0; e < buffer->value.numel(); ++e)
      bias = mixed(bias ^ std::bit_cast<uint32_t>(buffer->value.const_data_ptr<float>()[e]));
  return sum_over(sum, world) ^ bias;
}

double weight_distance(Harness& made, const Weights& expected, parallel::Communicator& world) {
  double difference = 0, total = 0;
  for_each_own_element(made, [&](const std::string& kind, const model::HfPart& part, int64_t i, float value) {
    if (kind != "master") return;
    const double wanted = expected.at(part.name).const_data_ptr<float>()[flat_index_of_whole(part, i)];
    difference += (value - wanted) * (value - wanted);
    total += wanted * wanted;
  });
  return std::sqrt(trainer::sum_by_micro_batch({difference}, world) /
                   trainer::sum_by_micro_batch({total}, world));
}

Weights weights_of(Harness& made) {
  Weights weights;
  for_each_own_element(made, [&](const std::string& kind, const model::HfPart& part, int64_t i, float value) {
    if (kind != "master") return;
    at::Tensor& tensor = weights[part.name];
    if (!tensor.defined()) tensor = at::zeros({part.num_elements()}, at::kFloat);
    tensor.mutable_data_ptr<float>()[i] = value;
  });
  return weights;
}

Harness make_harness(const LayoutCase& layout, const HarnessAxes& axes) {
  return Harness(layout_model(), harness_options(layout), axes,
                 [](const model::Parameter& parameter, int64_t begin, std::span<float> out) {
                   model::initialise(parameter, 0.05, 42, begin, out);
                 });
}

LayoutTrace train(Harness& made, const HarnessAxes& axes, parallel::Communicator& world,
                  const LayoutRunOptions& options) {
  LayoutTrace trace;
  parallel::Communicator& data = axes.step.data;
  for (int64_t step = options.first_step; step < options.first_step + options.num_steps; ++step) {
    std::vector<model::MicroBatch> mine;
    for (int64_t i = 0; i < kMicroBatches / data.size(); ++i) {
      const int64_t m = options.assignment ? options.assignment(i, data.rank(), data.size())
                                           : i * data.size() + data.rank();
      mine.push_back(data_of(made.model.spec, step, m));
    }
    const trainer::StepResult result = made.step->run(step + 1, mine);
    trace.steps.push_back({result.loss, result.mtp_losses.at(0), result.grad_norm, result.dropped_share,
                           state_digest(made, world)});
  }
  if (options.finish) options.finish(made);
  if (options.expected_weights)
    trace.weight_distance = weight_distance(made, *options.expected_weights, world);
  return trace;
}

}  // namespace

std::string LayoutCase::name() const {
  const char* precision = dtype == at::kFloat                      ? "fp32"
                          : !fp8                                   ? "bf16"
                          : *fp8 == kernels::Fp8Scale::kPowerOfTwo ? "fp8"
                                                                   : "fp8 with fp32 scales";
  const char* recomputed = recompute == trainer::Recompute::kNone   ? "none"
                           : recompute == trainer::Recompute::kFull ? "full"
                                                                    : "selective";
  return fmt::format("data {}, expert {}, tensor {}, ZeRO {}, recompute {}, {}{}", degrees.data,
                     degrees.expert, degrees.tensor, zero, recomputed, precision, is_fast ? ", fast" : "");
}

std::string LayoutTrace::digest() const {
  std::string text;
  for (const StepTrace& step : steps)
    text += fmt::format("{:a} {:a} {:a} {:x}\n", step.loss, step.mtp_loss, step.grad_norm, step.state_digest);
  return core::digest_hex(text).substr(0, 12);
}

model::ModelSpec layout_model() {
  model::ModelSpec spec;
  spec.architecture = model::Architecture::kDeepseekV3;
  spec.vocab_size = 132;
  spec.hidden_size = 48;
  spec.intermediate_size = 80;
  spec.num_hidden_layers = 4;
  spec.num_attention_heads = spec.num_key_value_heads = 4;
  spec.max_position_embeddings = 64;
  spec.rope.interleaved = true;
  spec.q_lora_rank = 20;
  spec.kv_lora_rank = 16;
  spec.qk_nope_head_dim = 8;
  spec.qk_rope_head_dim = 4;
  spec.v_head_dim = 12;
  spec.n_routed_experts = 8;
  spec.n_shared_experts = 1;
  spec.num_experts_per_tok = 2;
  spec.moe_intermediate_size = 24;
  spec.n_group = 4;
  spec.topk_group = 2;
  spec.first_k_dense_replace = 1;
  spec.routed_scaling_factor = 1.5;
  spec.num_nextn_predict_layers = 1;
  return spec;
}

LayoutTrace run_layout(const LayoutCase& layout, const HarnessAxes& axes, parallel::Communicator& world,
                       const LayoutRunOptions& options) {
  Harness made = make_harness(layout, axes);
  if (options.prepare) options.prepare(made);
  return train(made, axes, world, options);
}

LayoutTrace run_alone(at::ScalarType dtype, int64_t num_steps, Weights* weights,
                      std::optional<kernels::Fp8Scale> fp8) {
  parallel::SelfCommunicator self("alone");
  const HarnessAxes axes = HarnessAxes::replicated(self);
  Harness made = make_harness({.dtype = dtype, .fp8 = fp8}, axes);
  LayoutTrace trace = train(made, axes, self, {.num_steps = num_steps});
  if (weights) *weights = weights_of(made);
  return trace;
}

}  // namespace athanor::tests
