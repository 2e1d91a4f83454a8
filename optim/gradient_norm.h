// The one true norm of all gradients, with the same bits on every layout.
//
// Squares are summed per chunk of kernels::kFlatAlignment elements (the same chunks on every layout, see
// parallel/flat_layout.h), and chunks are added exactly (core/exact_sum.h): no order shows. For that, what
// the layouts cut differently must be cut at chunk boundaries: a parameter, a ZeRO shard, and each expert
// begins at one.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "parallel/communicator.h"

namespace athanor::optim {

struct GradientNorm {
  double value = 0;  ///< NaN when any element anywhere is not finite (or its square overflows fp64)
  bool is_finite() const;
  /// What gradients are multiplied by: min(1, max_norm / (value + 1e-6)) as torch.nn.utils.clip_grad_norm_.
  /// 1 when max_norm is 0 (no clipping). The norm must be finite.
  double clip_scale(double max_norm) const;
};

/// L2 norm over the slices of all ranks. `slices`: flat fp32, each beginning at a chunk boundary; over all
/// ranks together every gradient element is there exactly once (what several ranks hold alike is passed by
/// one of them). Collective over each of `communicators`, which together connect all ranks: the sum is taken
/// along one after the other (the world alone, or for example replica and pipeline). Every rank gets the same
/// bits, and the same verdict.
GradientNorm global_gradient_norm(const std::vector<at::Tensor>& slices,
                                  const std::vector<parallel::Communicator*>& communicators);

}  // namespace athanor::optim
