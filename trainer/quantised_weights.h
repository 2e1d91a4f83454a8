// The FP8 side of one group of parameters: scales of all its blocks, codes of this rank's shard.
//
// A block of 128x128 may straddle shards. So every rank finds the largest magnitudes of what it holds, the
// ranks take the maximum (compared as integers, which order like the magnitudes and carry NaN), and each
// quantises its own elements with scales that all ranks share. Codes gathered from all ranks are therefore
// those of the whole weight, the bf16 cast of the masters, quantised in one place.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "kernels/fp8.h"
#include "model/parameter.h"
#include "parallel/communicator.h"
#include "parallel/flat_layout.h"

namespace athanor::trainer {

struct QuantisedWeightsOptions {
  kernels::Fp8Scale scale;
  parallel::ElementRange range;  ///< of the flat buffer: what this rank quantises
  bool keeps_codes;              ///< weights travel as codes, else as exact bf16 values
  at::Device device;             ///< where weights live
};

class QuantisedWeights {
 public:
  /// All but the options outlive this.
  QuantisedWeights(const std::vector<model::Parameter*>& parameters, const parallel::FlatLayout& layout,
                   parallel::Communicator& comm, const QuantisedWeightsOptions& options);

  /// `slice`: this rank's range, bf16. Starts the maximum over ranks, unless every rank holds everything.
  void begin(const at::Tensor& slice, bool is_sharded);
  /// Waits for it; then `codes` are those of the slice, or the slice itself becomes exact values.
  void finish(const at::Tensor& slice);
  bool keeps_codes() const { return codes_.defined(); }
  const at::Tensor& codes() const { return codes_; }

  /// exact (bf16, the whole flat buffer) from the codes of all ranks. Gaps between parameters are left alone.
  void decode(const at::Tensor& exact, const at::Tensor& codes) const;
  /// Binds `quantised` of every parameter to the whole buffer of exact values, or unbinds it (undefined).
  void bind(const at::Tensor& exact) const;

 private:
  const std::vector<model::Parameter*>& parameters_;
  const parallel::FlatLayout& layout_;
  parallel::Communicator& comm_;
  kernels::Fp8Scale scale_;
  std::vector<parallel::ParameterPiece> pieces_;
  at::Tensor all_scales_;           // fp32; magnitudes between begin and finish
  std::vector<at::Tensor> scales_;  // the same by parameter
  at::Tensor codes_;
  parallel::Pending maximum_;
};

}  // namespace athanor::trainer
