#include "tests/trainer/tiny_run.h"

#include <cstring>

#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include "core/digest.h"
#include "core/rng.h"
#include "kernels/ops.h"
#include "model/initialise.h"

namespace athanor::tests {
namespace {

uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

uint64_t hash_of(const std::string& text) {
  return std::stoull(core::digest_hex(std::string_view(text)).substr(0, 15), nullptr, 16);
}

int64_t place_in_whole(const model::HfPart& part, int64_t index) {
  if (part.is_whole()) return index;
  int64_t place = 0, stride = 1;
  for (size_t i = part.shape.size(); i-- > 0;) {
    place += (index % part.shape[i] + part.offset[i]) * stride;
    index /= part.shape[i];
    stride *= part.global_shape[i];
  }
  return place;
}

// A sum over elements, so that it does not matter who adds which; 40 bits each, so that it cannot overflow.
int64_t hash_of_part(const std::string& kind, const model::HfPart& part, int64_t begin, int64_t end,
                     const float* values) {
  const uint64_t name = hash_of(kind + part.name);
  int64_t sum = 0;
  for (int64_t i = begin; i < end; ++i) {
    uint32_t bits;
    std::memcpy(&bits, values + (i - begin), sizeof bits);
    const auto place = static_cast<uint64_t>(place_in_whole(part, i));
    sum += static_cast<int64_t>(mixed(name ^ mixed(place << 32 | bits)) >> 24);
  }
  return sum;
}

int64_t hash_of_state(const optim::StateTensor& state, const trainer::OptimizerSlice& slice) {
  const float* values = state.values.const_data_ptr<float>() + (slice.shard.begin - slice.range.begin);
  int64_t sum = 0;
  for (const auto& piece : slice.layout->pieces(slice.shard))
    model::for_each_part(
        *slice.parameters->at(static_cast<size_t>(piece.parameter_idx)), piece.parameter_begin,
        piece.parameter_end, [&](const model::HfPart& part, int64_t begin, int64_t end, int64_t position) {
          sum += hash_of_part(state.kind, part, begin, end, values + piece.slice_begin + position);
        });
  return sum;
}

}  // namespace

model::ModelSpec tiny_moe() {
  model::ModelSpec spec;
  spec.architecture = model::Architecture::kDeepseekV3;
  spec.vocab_size = 131;
  spec.hidden_size = 48;
  spec.intermediate_size = 80;
  spec.num_hidden_layers = 3;
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

model::MicroBatch tiny_data(const model::ModelSpec& spec, int64_t step, int64_t m) {
  const core::CounterRng rng(5, "layout data");
  std::vector<int64_t> ids, labels;
  for (int64_t s = 0; s < kTinySequencesEach; ++s) {
    for (int64_t t = 0; t < kTinyLength; ++t) {
      const auto index =
          static_cast<uint64_t>(((step * kTinyMicroBatches + m) * kTinySequencesEach + s) * kTinyLength + t);
      // Skewed, so that something can be learnt and some experts get few tokens.
      ids.push_back(static_cast<int64_t>(rng.below(index, static_cast<uint64_t>(spec.vocab_size)) *
                                         rng.below(index + 1, 100) / 99));
    }
    for (int64_t t = 0; t < kTinyLength; ++t) {
      const bool is_last = t + 1 == kTinyLength;
      labels.push_back(is_last || (m == 3 && t < 5) ? kernels::kIgnoredLabel
                                                    : ids[static_cast<size_t>(s * kTinyLength + t + 1)]);
    }
  }
  return micro_batch(spec, ids, labels, kTinyLength);
}

std::vector<model::MicroBatch> tiny_share(const model::ModelSpec& spec, int64_t step,
                                          parallel::Communicator& data) {
  std::vector<model::MicroBatch> mine;
  for (int64_t m = data.rank(); m < kTinyMicroBatches; m += data.size())
    mine.push_back(tiny_data(spec, step, m));
  return mine;
}

HarnessOptions tiny_options(int zero_stage, at::ScalarType dtype, trainer::Recompute recompute) {
  return {.zero_stage = zero_stage,
          .compute_dtype = dtype,
          .recompute = recompute,
          .adamw = {.weight_decay = 0.1},
          .schedule = {.kind = optim::ScheduleKind::kCosine,
                       .learning_rate = 3e-3,
                       .total_steps = kTinySteps,
                       .warmup_steps = 3},
          .balance = {.bias_update_rate = 1e-2, .sequence_loss_weight = 1e-2}};
}

void tiny_weights(const model::Parameter& parameter, int64_t begin, std::span<float> out) {
  model::initialise(parameter, 0.05, 42, begin, out);
}

std::string whole_state_digest(const Harness& made, parallel::Communicator& world) {
  int64_t sum = 0;
  for (const auto& state : made.optimizer->state())
    sum += hash_of_state(state, made.store->slices().at(std::stoul(state.slice)));
  const at::Tensor all = at::tensor({sum}, at::kLong);
  world.all_reduce(all, parallel::ReduceOp::kSum).wait();
  return fmt::format("{:016x}", *all.const_data_ptr<int64_t>());
}

std::string step_line(Harness& made, const trainer::StepResult& result, parallel::Communicator& world) {
  std::string biases;
  for (const model::Buffer* buffer : model::all_buffers(made.model))
    biases += core::digest_hex(std::as_bytes(
        std::span(buffer->value.const_data_ptr<float>(), static_cast<size_t>(buffer->value.numel()))));
  std::string losses = fmt::format("{:a}", result.loss);
  for (const double loss : result.mtp_losses) losses += fmt::format(" {:a}", loss);
  return fmt::format("{} {:a} {:a} {} {}", losses, result.balance_loss, result.grad_norm,
                     whole_state_digest(made, world), core::digest_hex(std::string_view(biases)));
}

}  // namespace athanor::tests
