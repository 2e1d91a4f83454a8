// Two checkpoints, compared tensor by tensor whatever layouts wrote them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoints/checkpoint_reader.h"

namespace athanor::checkpoints {

enum class DiffState {
  kEqual,      ///< every bit
  kDifferent,  ///< same type and shape, other values
  kMismatch,   ///< another type or shape
  kOnlyInA,
  kOnlyInB,
};

std::string_view state_name(DiffState state);

struct TensorDiff {
  std::string name, kind;
  DiffState state = DiffState::kEqual;
  std::string note;  ///< types and shapes that do not match; NaNs that only one side has
  uint64_t num_elements = 0;
  uint64_t num_equal = 0;   ///< with the same bits
  double max_absolute = 0;  ///< largest |a - b|
  double max_relative = 0;  ///< largest |a - b| / max(|a|, |b|)
};

/// One entry per tensor of either, sorted by name, then kind. Memory: two stretches of one tensor.
/// F8 values are compared by their bits alone.
std::vector<TensorDiff> diff_checkpoints(const CheckpointReader& a, const CheckpointReader& b);

}  // namespace athanor::checkpoints
