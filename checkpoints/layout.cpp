#include "checkpoints/layout.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/error.h"

namespace athanor::checkpoints {
namespace {

// Comparing every two boxes is quadratic; no layout has nearly so many of one tensor.
constexpr size_t kMaxBoxes = 4096;

uint64_t elements(const Box& box) {
  return num_elements(box.shape);
}

// Consecutive elements of a piece that are consecutive in the whole tensor, too.
struct Stretch {
  uint64_t in_piece = 0;  // counted from the start of the piece
  uint64_t global = 0;
  uint64_t count = 0;

  uint64_t global_end() const { return global + count; }
};

// What a piece holds of one run of its box.
Stretch stretch_of(const BoxRuns& runs, const Piece& piece, uint64_t run) {
  const uint64_t run_begin = run * runs.run_length(), run_end = run_begin + runs.run_length();
  const uint64_t begin = std::max(piece.begin, run_begin), end = std::min(piece.end, run_end);
  if (begin >= end) return {};
  return {begin - piece.begin, runs.global_begin(run) + (begin - run_begin), end - begin};
}

// Joins stretches that continue one another before they reach the visitor.
class Joiner {
 public:
  explicit Joiner(const std::function<void(uint64_t, uint64_t, uint64_t)>& visit) : visit_(visit) {}

  void add(uint64_t source, uint64_t target, uint64_t count) {
    if (source == source_ + count_ && target == target_ + count_ && count_ > 0) {
      count_ += count;
      return;
    }
    flush();
    source_ = source, target_ = target, count_ = count;
  }
  void flush() {
    if (count_ > 0) visit_(source_, target_, count_);
    count_ = 0;
  }

 private:
  const std::function<void(uint64_t, uint64_t, uint64_t)>& visit_;
  uint64_t source_ = 0, target_ = 0, count_ = 0;
};

void add_shared(const Stretch& from, const BoxRuns& runs, const Piece& target, Joiner& joiner) {
  for (uint64_t run = runs.first_ending_after(from.global); run < runs.num_runs(); ++run) {
    if (runs.global_begin(run) >= from.global_end()) break;
    const Stretch into = stretch_of(runs, target, run);
    const uint64_t low = std::max(from.global, into.global),
                   high = std::min(from.global_end(), into.global_end());
    if (low < high)
      joiner.add(from.in_piece + (low - from.global), into.in_piece + (low - into.global), high - low);
  }
}

bool are_disjoint(const Box& a, const Box& b) {
  for (size_t dim = 0; dim < a.shape.size(); ++dim)
    if (a.offset[dim] + a.shape[dim] <= b.offset[dim] || b.offset[dim] + b.shape[dim] <= a.offset[dim])
      return true;
  return false;
}

using Ranges = std::vector<std::pair<uint64_t, uint64_t>>;

std::optional<std::string> range_error(const Box& box, Ranges& ranges) {
  std::sort(ranges.begin(), ranges.end());
  uint64_t covered = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin < covered)
      return fmt::format("elements [{}, {}) are held twice", begin, std::min(covered, end));
    if (begin > covered) return fmt::format("elements [{}, {}) are held by nobody", covered, begin);
    covered = end;
  }
  if (covered == elements(box)) return std::nullopt;
  return fmt::format("elements [{}, {}) are held by nobody", covered, elements(box));
}

std::optional<std::string> boxes_error(const Shape& global_shape, const std::vector<const Box*>& boxes) {
  if (boxes.size() > kMaxBoxes)
    return fmt::format("{} different boxes, at most {} are supported", boxes.size(), kMaxBoxes);
  uint64_t covered = 0;
  for (size_t i = 0; i < boxes.size(); ++i) {
    covered += elements(*boxes[i]);
    for (size_t j = 0; j < i; ++j)
      if (!are_disjoint(*boxes[i], *boxes[j]))
        return fmt::format("the boxes at {} and {} overlap", to_string(boxes[j]->offset),
                           to_string(boxes[i]->offset));
  }
  if (covered == num_elements(global_shape)) return std::nullopt;
  return fmt::format("its boxes hold {} of {} elements", covered, num_elements(global_shape));
}

}  // namespace

Box whole_box(const Shape& global_shape) {
  return {Shape(global_shape.size(), 0), global_shape};
}

bool fits(const Box& box, const Shape& global_shape) {
  if (box.offset.size() != global_shape.size() || box.shape.size() != global_shape.size()) return false;
  for (size_t dim = 0; dim < global_shape.size(); ++dim)
    if (box.offset[dim] < 0 || box.shape[dim] < 0 || box.offset[dim] > global_shape[dim] ||
        box.shape[dim] > global_shape[dim] - box.offset[dim])
      return false;
  return true;
}

BoxRuns::BoxRuns(const Shape& global_shape, const Box& box) {
  ATHANOR_CHECK(fits(box, global_shape), "the box at {} of shape {} is not inside {}", to_string(box.offset),
                to_string(box.shape), to_string(global_shape));
  // A run grows through the trailing dimensions that the box covers whole, and into the one before them.
  size_t num_outer = global_shape.size();
  bool is_whole = true;
  while (num_outer > 0 && is_whole) {
    --num_outer;
    run_length_ *= static_cast<uint64_t>(box.shape[num_outer]);
    is_whole = box.shape[num_outer] == global_shape[num_outer];
  }
  outer_shape_.assign(box.shape.begin(), box.shape.begin() + static_cast<int64_t>(num_outer));
  outer_strides_.resize(num_outer);
  num_runs_ = elements(box) == 0 ? 0 : num_elements(outer_shape_);
  run_length_ = std::max<uint64_t>(run_length_, 1);
  int64_t stride = 1;
  for (size_t dim = global_shape.size(); num_runs_ > 0 && dim-- > 0; stride *= global_shape[dim]) {
    first_global_ += static_cast<uint64_t>(box.offset[dim] * stride);
    if (dim < num_outer) outer_strides_[dim] = stride;
  }
}

uint64_t BoxRuns::global_begin(uint64_t run) const {
  uint64_t global = first_global_;
  for (size_t dim = outer_shape_.size(); dim-- > 0;) {
    const auto size = static_cast<uint64_t>(outer_shape_[dim]);
    global += run % size * static_cast<uint64_t>(outer_strides_[dim]);
    run /= size;
  }
  return global;
}

uint64_t BoxRuns::first_ending_after(uint64_t global) const {
  uint64_t low = 0, high = num_runs_;
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    if (global_begin(middle) + run_length_ > global)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

void for_each_overlap(const Shape& global_shape, const Piece& source, const Piece& target,
                      const std::function<void(uint64_t, uint64_t, uint64_t)>& visit) {
  const BoxRuns from(global_shape, source.box), to(global_shape, target.box);
  if (source.size() == 0 || target.size() == 0) return;
  const uint64_t target_begin = stretch_of(to, target, target.begin / to.run_length()).global;
  const uint64_t target_end = stretch_of(to, target, (target.end - 1) / to.run_length()).global_end();
  Joiner joiner(visit);
  uint64_t run = std::max(source.begin / from.run_length(), from.first_ending_after(target_begin));
  for (; run < from.num_runs() && run * from.run_length() < source.end; ++run) {
    const Stretch stretch = stretch_of(from, source, run);
    if (stretch.global >= target_end) break;
    add_shared(stretch, to, target, joiner);
  }
  joiner.flush();
}

std::optional<std::string> tiling_error(const Shape& global_shape, std::span<const Piece> pieces) {
  if (num_elements(global_shape) == 0) return std::nullopt;
  std::map<std::pair<Shape, Shape>, Ranges> ranges_of_box;
  std::vector<const Box*> boxes;
  for (const Piece& piece : pieces) {
    if (piece.size() == 0) continue;
    Ranges& ranges = ranges_of_box[{piece.box.offset, piece.box.shape}];
    if (ranges.empty()) boxes.push_back(&piece.box);
    ranges.emplace_back(piece.begin, piece.end);
  }
  for (const Box* box : boxes)
    if (auto error = range_error(*box, ranges_of_box[{box->offset, box->shape}])) return error;
  return boxes_error(global_shape, boxes);
}

}  // namespace athanor::checkpoints
