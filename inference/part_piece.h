// Parts of parameters (model/parameter.h) as pieces of the tensors that files hold (checkpoints/layout.h).
#pragma once

#include <cstdint>

#include "checkpoints/layout.h"
#include "model/parameter.h"

namespace athanor::inference {

/// The tensor that a part is a box of.
inline checkpoints::Shape shape_of_whole(const model::HfPart& part) {
  return part.is_whole() ? part.shape : part.global_shape;
}

inline checkpoints::Box box_of(const model::HfPart& part) {
  return part.is_whole() ? checkpoints::whole_box(part.shape) : checkpoints::Box{part.offset, part.shape};
}

/// Elements [begin, end) of the part's box.
inline checkpoints::Piece piece_of(const model::HfPart& part, int64_t begin, int64_t end) {
  return {box_of(part), static_cast<uint64_t>(begin), static_cast<uint64_t>(end)};
}

}  // namespace athanor::inference
