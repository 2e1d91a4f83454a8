#include "parallel/gradient_tree.h"

#include <algorithm>
#include <utility>

#include <ATen/ops/empty.h>

#include "core/error.h"
#include "kernels/ops.h"

namespace athanor::parallel {

at::Tensor FlatBufferPool::take(int64_t num_elements) {
  const auto fits = [&](const at::Tensor& buffer) { return buffer.numel() == num_elements; };
  const auto found = std::find_if(free_.begin(), free_.end(), fits);
  if (found == free_.end()) {
    ++num_created_;
    return at::empty({num_elements}, at::TensorOptions().dtype(dtype_).device(device_));
  }
  at::Tensor buffer = std::move(*found);
  free_.erase(found);
  return buffer;
}

void FlatBufferPool::give(at::Tensor buffer) {
  free_.push_back(std::move(buffer));
}

GradientTree::GradientTree(GradientTree&& other) noexcept
    : num_elements_(other.num_elements_),
      pool_(other.pool_),
      next_(std::move(other.next_)),
      partials_(std::move(other.partials_)),
      num_added_(std::exchange(other.num_added_, 0)),
      is_final_(std::exchange(other.is_final_, false)) {
  other.partials_.clear();
}

at::Tensor GradientTree::next() {
  ATHANOR_CHECK(!is_final_, "a micro step after the result of {} micro steps was taken", num_added_);
  if (!next_.defined()) next_ = pool_.take(num_elements_);
  return next_;
}

void GradientTree::add() {
  ATHANOR_CHECK(next_.defined(), "micro step {} was never reduced: next() comes before add()", num_added_);
  partials_.push_back({1, std::exchange(next_, at::Tensor())});
  ++num_added_;
  while (partials_.size() >= 2 && partials_.back().num_steps == partials_[partials_.size() - 2].num_steps)
    join_last_two();
}

// earlier += later. Adding two numbers gives the same bits in either order.
void GradientTree::join_last_two() {
  Partial later = std::move(partials_.back());
  partials_.pop_back();
  Partial& earlier = partials_.back();
  kernels::ordered_sum(earlier.sum, {earlier.sum, later.sum});
  earlier.num_steps += later.num_steps;
  pool_.give(std::move(later.sum));
}

// What is left of a count that is not a power of two: the smallest partial sums are joined first, which is
// "the largest power of two, plus the tree of the rest".
at::Tensor GradientTree::result() {
  ATHANOR_CHECK(num_added_ > 0, "the sum of no micro steps");
  while (partials_.size() > 1) join_last_two();
  is_final_ = true;
  return partials_.front().sum;
}

void GradientTree::reset() {
  for (Partial& partial : partials_) pool_.give(std::move(partial.sum));
  partials_.clear();
  if (next_.defined()) pool_.give(std::exchange(next_, at::Tensor()));
  num_added_ = 0;
  is_final_ = false;
}

}  // namespace athanor::parallel
