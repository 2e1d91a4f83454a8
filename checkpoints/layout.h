// Where pieces of a tensor lie in the whole. A piece is a flat range [begin, end) of the row-major elements
// of a box, and a box is an axis-aligned part of the global tensor: tensor parallelism cuts boxes, ZeRO cuts
// flat ranges of them. Pure arithmetic; this is what lets a checkpoint of one layout be read by any other.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "checkpoints/tensor_info.h"

namespace athanor::checkpoints {

/// offset and shape have one number per dimension of the global tensor.
struct Box {
  Shape offset;
  Shape shape;

  bool operator==(const Box&) const = default;
};

Box whole_box(const Shape& global_shape);
/// True when the ranks agree and the box lies inside the global tensor.
bool fits(const Box& box, const Shape& global_shape);

/// Elements [begin, end) of a box, counted row-major inside the box.
struct Piece {
  Box box;
  uint64_t begin = 0;
  uint64_t end = 0;

  uint64_t size() const { return end - begin; }
};

/// The maximal runs of a box that are contiguous in the global tensor, all of the same length, ascending.
class BoxRuns {
 public:
  /// Requires fits(box, global_shape).
  BoxRuns(const Shape& global_shape, const Box& box);

  uint64_t num_runs() const { return num_runs_; }
  uint64_t run_length() const { return run_length_; }
  /// Global flat index of the first element of run `run`; increases with `run`.
  uint64_t global_begin(uint64_t run) const;
  /// The first run that ends after the global flat index `global`; num_runs() when there is none.
  uint64_t first_ending_after(uint64_t global) const;

 private:
  Shape outer_shape_;    // dimensions of the box before the run starts
  Shape outer_strides_;  // their strides in the global tensor
  uint64_t first_global_ = 0;
  uint64_t num_runs_ = 0;
  uint64_t run_length_ = 1;
};

/// Calls visit(source_offset, target_offset, count) for every stretch that the two pieces share: offsets
/// count elements from the start of each piece. Stretches come in ascending order; neighbours that touch in
/// both are joined.
void for_each_overlap(const Shape& global_shape, const Piece& source, const Piece& target,
                      const std::function<void(uint64_t, uint64_t, uint64_t)>& visit);

/// Nothing when the pieces cover every element of the tensor exactly once; otherwise what is wrong. Boxes may
/// differ only by being equal or disjoint.
std::optional<std::string> tiling_error(const Shape& global_shape, std::span<const Piece> pieces);

}  // namespace athanor::checkpoints
