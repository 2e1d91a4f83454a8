#include "optim/gradient_norm.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include <ATen/ops/empty.h>

#include "core/error.h"
#include "core/exact_sum.h"
#include "core/parallel_for.h"
#include "kernels/ops.h"

namespace athanor::optim {
namespace {

// Exact sums may be cut anywhere; this many chunk sums are worth a thread.
constexpr int64_t kPieceChunks = 16384;

void add_all(core::ExactSum& total, const at::Tensor& chunk_sums) {
  const double* sums = chunk_sums.const_data_ptr<double>();
  const int64_t count = chunk_sums.numel();
  std::mutex total_guard;
  core::parallel_for((count + kPieceChunks - 1) / kPieceChunks, [&](int64_t piece) {
    core::ExactSum partial;
    const int64_t end = std::min(count, (piece + 1) * kPieceChunks);
    for (int64_t i = piece * kPieceChunks; i < end; ++i) partial.add(sums[i]);
    const std::lock_guard lock(total_guard);
    total.add(partial);
  });
}

// The slice's elements are on a device or on the host; their chunk sums are few and added on the host.
at::Tensor host_chunk_sums(const at::Tensor& slice) {
  ATHANOR_CHECK(slice.dim() == 1 && slice.scalar_type() == at::kFloat && slice.is_contiguous(),
                "a gradient slice must be flat fp32");
  const int64_t num_chunks = (slice.numel() + kernels::kFlatAlignment - 1) / kernels::kFlatAlignment;
  const at::Tensor sums = at::empty({num_chunks}, slice.options().dtype(at::kDouble));
  kernels::chunk_square_sums(sums, slice);
  return sums.cpu();
}

void sum_over_ranks(core::ExactSum& total, const std::vector<parallel::Communicator*>& communicators) {
  const at::Tensor limbs = at::empty({core::ExactSum::kNumLimbs}, at::kLong);
  int64_t* values = limbs.mutable_data_ptr<int64_t>();
  const std::span<int64_t, core::ExactSum::kNumLimbs> view(values, core::ExactSum::kNumLimbs);
  for (parallel::Communicator* communicator : communicators) {
    std::ranges::copy(total.limbs(), values);
    communicator->all_reduce(limbs, parallel::ReduceOp::kSum).wait();
    total.set_limbs(view);
  }
}

}  // namespace

bool GradientNorm::is_finite() const {
  return std::isfinite(value);
}

double GradientNorm::clip_scale(double max_norm) const {
  ATHANOR_CHECK(is_finite(), "clipping to a norm of {}", value);
  if (max_norm <= 0) return 1;
  return std::min(1.0, max_norm / (value + 1e-6));
}

GradientNorm global_gradient_norm(const std::vector<at::Tensor>& slices,
                                  const std::vector<parallel::Communicator*>& communicators) {
  core::ExactSum total;
  for (const at::Tensor& slice : slices) add_all(total, host_chunk_sums(slice));
  sum_over_ranks(total, communicators);
  return {std::sqrt(total.value())};
}

}  // namespace athanor::optim
