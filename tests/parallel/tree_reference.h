// The sum that every reduction must equal bit for bit, written down independently of kernels/: the largest
// power of two of the parts that fits, as a balanced tree, plus the same of the rest.
#pragma once

#include <span>

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>

namespace athanor::tests {

inline at::Tensor tree_sum(std::span<const at::Tensor> parts) {
  if (parts.size() == 1) return parts[0].to(at::kFloat);
  size_t half = 1;
  while (half * 2 < parts.size()) half *= 2;
  return tree_sum(parts.first(half)) + tree_sum(parts.subspan(half));
}

}  // namespace athanor::tests
