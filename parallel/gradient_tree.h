// The sum of gradients over the micro batches of a step, in an order that does not depend on how many ranks
// share them.
//
// Micro batch m of the global batch belongs to rank m % D in its micro step m / D. The ordered reduction of
// micro step i gives the tree over the D micro batches i*D .. i*D + D-1; this class adds the micro steps in
// the same tree. For any power-of-two D the result is therefore kernels::ordered_sum over all micro batches
// in order, bit for bit, whatever their number. Works like a binary counter: partial sums of 1, 2, 4, ...
// micro steps.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace athanor::parallel {

/// Flat buffers of one dtype on one device that are used again; several trees may share one. Not thread-safe.
class FlatBufferPool {
 public:
  explicit FlatBufferPool(at::ScalarType dtype = at::kFloat, at::Device device = at::kCPU)
      : dtype_(dtype), device_(device) {}
  at::Tensor take(int64_t num_elements);  ///< contents undefined
  void give(at::Tensor buffer);
  int64_t num_created() const { return num_created_; }

 private:
  at::ScalarType dtype_;
  at::Device device_;
  std::vector<at::Tensor> free_;
  int64_t num_created_ = 0;
};

class GradientTree {
 public:
  /// `pool` (fp32) outlives the tree.
  GradientTree(int64_t num_elements, FlatBufferPool& pool) : num_elements_(num_elements), pool_(pool) {}
  ~GradientTree() { reset(); }
  GradientTree(GradientTree&& other) noexcept;
  GradientTree(const GradientTree&) = delete;
  GradientTree& operator=(const GradientTree&) = delete;

  /// The buffer to reduce the next micro step's gradient into; then `add` takes it into the sum.
  at::Tensor next();
  void add();
  int64_t num_added() const { return num_added_; }
  /// The sum over all micro steps added so far (at least one): a view that stays valid until `reset`. Nothing
  /// more can be added after it. Until then at most log2(num_added) + 1 buffers are in use.
  at::Tensor result();
  /// Gives all buffers back; the tree is empty again.
  void reset();

 private:
  struct Partial {
    int64_t num_steps;  // a power of two, until `result` has joined them
    at::Tensor sum;
  };
  void join_last_two();
  int64_t num_elements_;
  FlatBufferPool& pool_;
  at::Tensor next_;
  std::vector<Partial> partials_;  // descending
  int64_t num_added_ = 0;
  bool is_final_ = false;
};

}  // namespace athanor::parallel
