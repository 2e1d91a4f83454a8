// Parameters as the blocks see them: named views that somebody else fills.
//
// A block declares its parameters (name, shape, how they start). Their values live in flat buffers owned by
// the trainer or the inference engine, which bind `value` (and, while a backward pass runs, `gradient`) to
// views before the block is called. So a block cannot tell whether its weights are sharded, gathered,
// prefetched or shared.
//
// Matrices that are used together are one parameter: gate over up, query over key over value, all experts of
// a layer. `parts` says which elements carry which Hugging Face name, and, where tensor or expert parallelism
// leaves this rank a share, which box of that tensor they are. All state that lasts (initial values, weights
// in files, checkpoints) is named and counted by parts, so it does not know the layout.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "kernels/fp8.h"
#include "kernels/ops.h"

namespace athanor::model {

enum class Initialisation { kNormal, kOnes, kZeros };

/// A run of elements of a parameter that Hugging Face files keep as a tensor of its own, or a box of one.
struct HfPart {
  std::string name;
  int64_t begin = 0;                       ///< first element within the parameter (row-major)
  std::vector<int64_t> shape;              ///< of the box that this rank holds
  std::vector<int64_t> global_shape = {};  ///< of the whole tensor; empty: the box is all of it
  std::vector<int64_t> offset = {};        ///< of the box in the whole; empty with global_shape

  int64_t num_elements() const;
  bool is_whole() const { return global_shape.empty(); }
};

/// One of `count` equal parts of something.
struct Share {
  int64_t index = 0, count = 1;
};
/// The box that is left of a whole tensor when its dimension `dim` is cut; all of it when there is one share.
/// `begin` is not set.
HfPart share_of(const HfPart& whole, size_t dim, const Share& share);

struct Parameter {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<HfPart> parts;  ///< in order, covering the parameter without holes
  Initialisation initialisation = Initialisation::kNormal;
  bool is_expert = false;  ///< the first dimension counts experts, of which expert parallelism leaves a share
  bool is_cut = false;     ///< tensor parallelism leaves this rank a share. If not, every rank of the tensor
                        ///< axis holds it alike, and the gradient it computes is of its own tokens or heads

  bool keeps_precision = false;  ///< a matrix whose products stay in the compute dtype when those of linear
                                 ///< layers run on FP8 tiles: router, embedding, projection to the vocabulary

  at::Tensor value;              ///< compute precision; defined while the block may run
  kernels::Fp8Matrix quantised;  ///< FP8 training: bound instead of `value` where takes_fp8()
  at::Tensor gradient;           ///< fp32; defined during backward unless frozen
  bool has_gradient = false;     ///< whether `gradient` holds something that must be added to
  std::vector<kernels::PackedMatrix>
      packed;  ///< weights that do not change: one per matrix, for products with them

  int64_t num_elements() const;
  /// Whether FP8 training quantises this parameter: matrices and stacks of them, but for a few.
  bool takes_fp8() const { return shape.size() >= 2 && !keeps_precision; }
  bool is_quantised() const { return quantised.exact.defined(); }
  /// Packs `value` for products, when it is a matrix or a stack of matrices. It must not change afterwards.
  void pack();
  /// A parameter that Hugging Face keeps under the same name and shape.
  static Parameter whole(std::string name, std::vector<int64_t> shape,
                         Initialisation initialisation = Initialisation::kNormal);
  /// This rank's share of such a parameter, cut along `dim`.
  static Parameter cut(std::string name, std::vector<int64_t> shape, size_t dim, const Share& share);
  /// Rows of several Hugging Face matrices of equal width, one over the other; cut, when they are shares.
  static Parameter stacked(std::string name, const std::vector<HfPart>& rows);
};

/// Calls visit(part, begin, end, position) for what elements [begin, end) of the parameter share with each
/// part: elements [part_begin, part_end) of the part's box, `position` elements after `begin`.
template <typename Visit>
void for_each_part(const Parameter& parameter, int64_t begin, int64_t end, const Visit& visit) {
  for (const HfPart& part : parameter.parts) {
    const int64_t from = std::max(begin, part.begin), to = std::min(end, part.begin + part.num_elements());
    if (from < to) visit(part, from - part.begin, to - part.begin, from - begin);
  }
}

/// State of a block that no gradient moves (the router's bias): fp32, the same on every rank, saved with
/// checkpoints.
struct Buffer {
  std::string name;  ///< Hugging Face name
  at::Tensor value;
};

}  // namespace athanor::model
