#include "data/loader/batch_plan.h"

#include "core/error.h"

namespace athanor::data {

void BatchPlan::check() const {
  ATHANOR_CHECK(data_rank < data_size, "data rank {} of {}", data_rank, data_size);
  const uint64_t per_round = micro_batch_size * data_size;
  if (per_round == 0 || global_batch_size == 0 || global_batch_size % per_round != 0)
    throw core::ConfigError(
        "global batch size {} is not a multiple of micro batch size {} times data-parallel degree {}",
        global_batch_size, micro_batch_size, data_size);
}

uint64_t BatchPlan::sample_of(uint64_t index) const {
  const uint64_t step = index / micro_batches_per_step(), local = index % micro_batches_per_step();
  const uint64_t micro_batch = local * data_size + data_rank;
  return first_sample + step * global_batch_size + micro_batch * micro_batch_size;
}

uint64_t BatchPlan::num_micro_batches() const {
  if (end_sample <= first_sample) return 0;
  const uint64_t num_samples = end_sample - first_sample;
  const uint64_t num_steps = num_samples / global_batch_size + (num_samples % global_batch_size != 0);
  return num_steps * micro_batches_per_step();
}

BatchPlan single_pass_plan(uint64_t num_samples, uint64_t micro_batch_size, uint64_t data_rank,
                           uint64_t data_size) {
  return {.first_sample = 0,
          .end_sample = num_samples,
          .global_batch_size = micro_batch_size * data_size,
          .micro_batch_size = micro_batch_size,
          .data_rank = data_rank,
          .data_size = data_size};
}

}  // namespace athanor::data
