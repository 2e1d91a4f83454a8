// Selective recomputation: what a block computes cheaply is not kept from its forward to its backward pass.
//
// A block hands over tensors that later operations have saved for their gradients, each with a function that
// computes it again. After the forward pass of the block the executor lets go of their memory, and before its
// backward pass has them filled again, in the order in which they were first computed: so each may be
// computed from those before it. The tensors themselves, and every view of them, stay as they were; the
// kernels give the same bits again.
#pragma once

#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

namespace athanor::model {

class Remake {
 public:
  /// `refill` writes the elements of `output` again; it must capture detached tensors only. The whole storage
  /// of `output` is given up: nothing else may live in it.
  void add(const at::Tensor& output, std::function<void()> refill);
  /// Frees the memory of all outputs.
  void discard();
  /// Gets memory and fills it. Parameters must be bound.
  void restore();
  bool empty() const { return outputs_.empty(); }

 private:
  struct Output {
    at::Tensor tensor;
    std::function<void()> refill;
    size_t num_bytes = 0;
  };
  std::vector<Output> outputs_;
};

}  // namespace athanor::model
