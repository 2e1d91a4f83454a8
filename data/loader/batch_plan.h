// Which samples a data-parallel rank reads, as arithmetic on the one global sample counter.
//
// Counting from `first_sample`, step s holds samples [s·G, (s+1)·G), G = global_batch_size. Micro batch m of
// the step holds samples m·b … m·b + b - 1, b = micro_batch_size. Data rank r of D takes the micro batches m
// ≡ r (mod D).
#pragma once

#include <cstdint>

namespace athanor::data {

/// More samples than any run reads, few enough that counting them never overflows.
constexpr uint64_t kEndlessSamples = uint64_t{1} << 62;

struct BatchPlan {
  uint64_t first_sample = 0;              ///< samples consumed so far: where a run starts or resumes
  uint64_t end_sample = kEndlessSamples;  ///< no step starts at or after it
  uint64_t global_batch_size = 1;         ///< sequences per step, all ranks together
  uint64_t micro_batch_size = 1;          ///< sequences per forward and backward
  uint64_t data_rank = 0;
  uint64_t data_size = 1;

  /// Throws ConfigError, naming the numbers, unless G is a multiple of b·D.
  void check() const;
  uint64_t micro_batches_per_step() const { return global_batch_size / (micro_batch_size * data_size); }
  /// First sample of this rank's `index`-th micro batch, counted over all steps.
  uint64_t sample_of(uint64_t index) const;
  /// Micro batches of this rank, the same for every rank; the last step may hold samples at or beyond
  /// end_sample.
  uint64_t num_micro_batches() const;
};

/// The plan of one pass over `num_samples` sequences in which every rank takes the same number of micro
/// batches; samples beyond the end are padding.
BatchPlan single_pass_plan(uint64_t num_samples, uint64_t micro_batch_size, uint64_t data_rank,
                           uint64_t data_size);

}  // namespace athanor::data
