// AdamW on flat slices: the fp32 master weights and the moments of what this rank keeps, updated in one fused
// pass per slice, equal to torch.optim.AdamW (decoupled decay, bias correction).
//
// A slice is a rank's shard of one flat buffer (parallel/flat_layout.h). The optimizer owns master and
// moments; a checkpoint reads and writes them through `state`, in place, and maps them to parameters with
// FlatLayout::pieces.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "kernels/ops.h"

namespace athanor::optim {

struct AdamWHyper {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;
  at::ScalarType moment_dtype = at::kFloat;  ///< fp32 or bf16
};

struct OptimizerSlice {
  std::string name;   ///< unique; prefixes its state's names
  at::Tensor master;  ///< [n] fp32, contiguous: the weights to start from; kept and updated in place
  std::vector<kernels::ElementRange> decay;  ///< what weight decay applies to (FlatLayout::ranges)
};

/// One flat tensor of the state, for saving and loading in place.
struct StateTensor {
  std::string slice;  ///< OptimizerSlice::name
  std::string kind;   ///< "master", "exp_avg" or "exp_avg_sq"
  at::Tensor values;
};

struct StepInput {
  at::Tensor gradient;  ///< [n] fp32
  at::Tensor compute;   ///< [n] bf16: receives the cast of the new master; undefined: not wanted
};

class AdamWOptimizer {
 public:
  /// ConfigError: betas outside [0, 1), eps or weight decay negative or not finite, moments of another dtype.
  /// InternalError: a name twice, decay ranges that are not ascending, disjoint and inside the slice.
  AdamWOptimizer(const AdamWHyper& hyper, std::vector<OptimizerSlice> slices);

  /// One update of every slice; inputs in the order of the slices. `gradient_scale` multiplies gradients
  /// first.
  void step(const std::vector<StepInput>& inputs, double learning_rate, double gradient_scale);

  const std::vector<OptimizerSlice>& slices() const { return slices_; }
  /// Views of the living state: whoever loads a checkpoint copies into them.
  std::vector<StateTensor> state() const;
  int64_t num_steps() const { return num_steps_; }  ///< updates so far
  void set_num_steps(int64_t num_steps);            ///< after loading

 private:
  struct Moments {
    at::Tensor exp_avg, exp_avg_sq;
  };
  AdamWHyper hyper_;
  std::vector<OptimizerSlice> slices_;
  std::vector<Moments> moments_;
  int64_t num_steps_ = 0;
};

}  // namespace athanor::optim
