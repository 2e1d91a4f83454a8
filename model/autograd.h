// The little of autograd that blocks and the executor use.
//
// A fused operation computes its output with a kernel and records, as a closure, how gradients flow back;
// between blocks the executor cuts the graph and asks for the gradients itself.
#pragma once

#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

namespace athanor::model {

using Tensors = std::vector<at::Tensor>;

/// Maps the gradients of the outputs (undefined where none arrived) to those of the inputs (undefined: none).
/// It must capture detached tensors only: an output captured with its graph would keep itself alive.
using Backward = std::function<Tensors(const Tensors& output_gradients)>;

/// Makes `outputs` (fresh tensors) differentiable functions of `inputs`. Does nothing where no input requires
/// a gradient or recording is off.
void record(const Tensors& outputs, const Tensors& inputs, Backward backward);

/// Gradients of sum(roots · root_gradients) by `inputs`; an input that nothing depends on gets an undefined
/// tensor. Roots that do not require a gradient are passed over. Frees the graph.
Tensors backpropagate(const Tensors& roots, const Tensors& root_gradients, const Tensors& inputs);

/// A tensor with the same storage that starts a graph of its own.
at::Tensor as_leaf(const at::Tensor& tensor);

}  // namespace athanor::model
