// One tiny mixture-of-experts model, trained for some steps on a given layout, and what can be compared of it
// with the same run on another layout.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "parallel/mesh.h"
#include "parallel/mesh_communicators.h"
#include "tests/trainer/training_harness.h"

namespace athanor::tests {

constexpr int64_t kMicroBatches = 8;  ///< of a step, all ranks together

struct LayoutCase {
  parallel::MeshDegrees degrees;
  int zero = 0;
  trainer::Recompute recompute = trainer::Recompute::kNone;
  at::ScalarType dtype = at::kFloat;
  std::optional<kernels::Fp8Scale> fp8 = std::nullopt;  ///< with dtype bf16
  model::ExpertOptions experts = {};
  bool is_fast = false;  ///< `reproducible: fast`

  /// "data 4, expert 2, tensor 1, ZeRO 3, recompute none, fp32".
  std::string name() const;
};

/// What a step says of itself, the same on every rank.
struct StepTrace {
  double loss = 0, mtp_loss = 0, grad_norm = 0, dropped_share = 0;
  /// Of every master, moment and router bias by name and element, whatever rank holds it.
  uint64_t state_digest = 0;
  bool operator==(const StepTrace&) const = default;
};

/// Masters by Hugging Face name.
using Weights = std::map<std::string, at::Tensor>;

struct LayoutTrace {
  std::vector<StepTrace> steps;
  /// Relative L2 distance of the final masters from the expected ones; 0 when none were given.
  double weight_distance = 0;
  std::string digest() const;
};

struct LayoutRunOptions {
  int64_t first_step = 0;
  int64_t num_steps = 20;
  const Weights* expected_weights = nullptr;
  /// Micro batch that data rank r of D takes in its i-th micro step (default: i * D + r).
  std::function<int64_t(int64_t i, int64_t rank, int64_t size)> assignment = {};
  /// Called before the first step.
  std::function<void(Harness&)> prepare = {};
  /// Called after the last one.
  std::function<void(Harness&)> finish = {};
};

/// 8 experts in 4 groups, 4 layers of which the first is dense, latent attention, one prediction module,
/// sequence-wise balance loss and router bias.
model::ModelSpec layout_model();

/// Collective over the ranks of `axes`.
LayoutTrace run_layout(const LayoutCase& layout, const HarnessAxes& axes, parallel::Communicator& world,
                       const LayoutRunOptions& options = {});

/// The same run on one rank, without peers; `weights` receives the final masters.
LayoutTrace run_alone(at::ScalarType dtype, int64_t num_steps, Weights* weights = nullptr,
                      std::optional<kernels::Fp8Scale> fp8 = std::nullopt);

}  // namespace athanor::tests
