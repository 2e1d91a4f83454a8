// A limit on how many tokens of a micro batch an expert takes.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace athanor::model {

/// Which of too many choices of an expert are kept.
enum class CapacityPolicy {
  kPosition,  ///< the first tokens of the micro batch
  kScore,     ///< those with the highest routing weight; of equal ones the first
};

/// An expert takes at most ceil(factor * T * A / E) of the choices that the T tokens of a micro batch on one
/// rank make. So what is dropped depends on the micro batch alone, not on how many ranks share the experts.
/// (Ranks of a tensor axis share a micro batch's tokens: there each rank's share of the tokens has a capacity
/// of its own.)
struct CapacityOptions {
  double factor = 0;  ///< 0: no limit, nothing is dropped
  CapacityPolicy policy = CapacityPolicy::kPosition;
};

struct CapacityResult {
  at::Tensor expert_ids_TA;  ///< -1 where a choice was dropped
  int64_t num_dropped = 0;
};

/// expert_ids [T, A] int32, weights [T, A] fp32; neither is changed. factor > 0.
CapacityResult limit_to_capacity(const at::Tensor& expert_ids_TA, const at::Tensor& weights_TA,
                                 int64_t num_experts, const CapacityOptions& options);

}  // namespace athanor::model
