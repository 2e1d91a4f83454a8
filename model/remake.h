// Selective recomputation: what a block computes cheaply is not kept from its forward to its backward pass.
//
// A block hands over tensors that later operations have saved for their gradients, each with a function that
// computes it again. After the forward pass of the block the executor lets go of their memory, and before its
// backward pass has them made again, in the order in which they were first computed: so each may be computed
// from those before it. The tensors themselves, and every view of them, stay as they were; the kernels give
// the same bits again.
#pragma once

#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

namespace athanor::model {

class Remake {
 public:
  using Again = std::function<at::Tensor()>;

  /// `again` returns a fresh tensor with the elements of `output`; it must capture detached tensors only, and
  /// runs without recording. The whole storage of `output` is given up: nothing else may live in it.
  void add(const at::Tensor& output, Again again);
  /// Frees the memory of all outputs.
  void discard();
  /// Makes all outputs again and forgets them. Parameters must be bound. Every rank of an axis that `again`
  /// communicates on calls it alike.
  void restore();
  /// Bytes that `discard` frees.
  int64_t num_bytes() const;

 private:
  struct Output {
    at::Tensor tensor;
    Again again;
    size_t num_bytes = 0;
  };
  std::vector<Output> outputs_;
};

/// `output`, of which `remake` (null: everything is kept) learns how to make it again.
at::Tensor remade(Remake* remake, at::Tensor output, Remake::Again again);

}  // namespace athanor::model
