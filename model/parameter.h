// Parameters as the blocks see them: named views that somebody else fills.
//
// A block declares its parameters (name, shape, how they start). Their values live in flat buffers owned by
// the trainer or the inference engine, which bind `value` (and, while a backward pass runs, `gradient`) to
// views before the block is called. So a block cannot tell whether its weights are sharded, gathered,
// prefetched or shared.
//
// Matrices that are used together are one parameter: gate over up, query over key over value, all experts of
// a layer. `parts` says which rows carry which Hugging Face name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "kernels/ops.h"

namespace athanor::model {

enum class Initialisation { kNormal, kOnes, kZeros };

/// A run of elements of a parameter that Hugging Face files keep as a tensor of its own.
struct HfPart {
  std::string name;
  int64_t begin = 0;  ///< first element within the parameter (row-major)
  std::vector<int64_t> shape;
};

struct Parameter {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<HfPart> parts;  ///< in order, covering the parameter without holes
  Initialisation initialisation = Initialisation::kNormal;
  bool is_expert = false;  ///< divided by expert parallelism; lives in its own flat buffer

  at::Tensor value;           ///< compute precision; defined while the block may run
  at::Tensor gradient;        ///< fp32; defined during backward unless frozen
  bool has_gradient = false;  ///< whether `gradient` holds something that must be added to
  std::vector<kernels::PackedMatrix>
      packed;  ///< weights that do not change: one per matrix, for products with them

  int64_t num_elements() const;
  /// Packs `value` for products, when it is a matrix or a stack of matrices. It must not change afterwards.
  void pack();
  /// A parameter that Hugging Face keeps under the same name and shape.
  static Parameter whole(std::string name, std::vector<int64_t> shape,
                         Initialisation initialisation = Initialisation::kNormal);
  /// Rows of several Hugging Face matrices of equal width, one over the other.
  static Parameter stacked(std::string name, const std::vector<HfPart>& rows);
};

/// State of a block that no gradient moves (the router's bias): fp32, the same on every rank, saved with
/// checkpoints.
struct Buffer {
  std::string name;  ///< Hugging Face name
  at::Tensor value;
};

}  // namespace athanor::model
