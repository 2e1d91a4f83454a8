// Sums across ranks in one fixed order: exchange the pieces, then add them locally in the binary tree of
// kernels::ordered_sum over the rank, in fp32. On groups of a power-of-two size the tree is
// ((0+1)+(2+3))+..., the same one that GradientTree builds over micro steps.
//
// The data goes in chunks: while a chunk is summed the next ones travel, and what was received is summed
// while it is in the cache. Scratch memory is bounded by `ReductionOptions::scratch_bytes`, whatever the size
// of the data.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "parallel/communicator.h"

namespace athanor::parallel {

struct ReductionOptions {
  /// What travels: fp32 (exact), or bf16: every rank's contribution, its own included, is rounded once to
  /// nearest even before the sum. Either way the sum is fp32 and its bits do not depend on the number of
  /// ranks.
  at::ScalarType payload = at::kFloat;
  int64_t scratch_bytes = int64_t{4} << 20;  ///< of this rank, for one reduction of host data in flight
  /// The same on a device, where a chunk must be long enough to be worth its launches.
  int64_t device_scratch_bytes = int64_t{128} << 20;
  int chunks_in_flight = 2;  ///< beside the chunk being summed
};

class OrderedReduction {
 public:
  /// `comm` outlives this object, and this object outlives what it started.
  explicit OrderedReduction(Communicator& comm, const ReductionOptions& options = {});
  ~OrderedReduction();

  /// out [n_rank] fp32 = sum over ranks of in[piece of this rank]. `in` [n] fp32 is cut into pieces of
  /// `counts` elements, one per rank, the same on all ranks; empty: equal pieces. `out` may be this rank's
  /// own piece of `in`, else it must not overlap `in`. `in` must not change until the wait. Waiting drives
  /// the pipeline and makes calls on the axis: all ranks wait in the same order relative to their other calls
  /// on it.
  [[nodiscard]] Pending reduce_scatter(const at::Tensor& out, const at::Tensor& in,
                                       const std::vector<int64_t>& counts = {});
  /// In place: every rank gets the sum of `data` [n] fp32, the same bits.
  void all_reduce(const at::Tensor& data);

 private:
  struct Scratch;
  class Operation;
  Communicator& comm_;
  int64_t chunk_elements(const at::Tensor& data) const;
  std::unique_ptr<Scratch> scratch_for(const at::Tensor& data);

  ReductionOptions options_;
  std::shared_ptr<std::vector<std::unique_ptr<Scratch>>> free_scratch_;
};

}  // namespace athanor::parallel
