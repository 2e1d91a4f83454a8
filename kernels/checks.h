// How the front-ends of the operations look at their arguments: every failure is an InternalError that names
// the operation, the argument, what was expected and what came.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

#include <ATen/core/Tensor.h>

#include "kernels/ops.h"

namespace athanor::kernels {

inline bool is_bf16(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kBFloat16;
}

class Checker {
 public:
  explicit Checker(const char* operation) : operation_(operation) {}

  /// Defined, with exactly these sizes.
  void shape(const char* name, const at::Tensor& tensor, std::initializer_list<int64_t> sizes) const;
  /// The usual case at once: this dtype, exactly these sizes, contiguous.
  void tensor(const char* name, const at::Tensor& tensor, at::ScalarType type,
              std::initializer_list<int64_t> sizes) const;
  /// Defined, with this many dimensions.
  void dim(const char* name, const at::Tensor& tensor, int64_t num_dims) const;
  void dtype(const char* name, const at::Tensor& tensor, at::ScalarType expected) const;
  /// float32 or bfloat16.
  void compute_dtype(const char* name, const at::Tensor& tensor) const;
  void contiguous(const char* name, const at::Tensor& tensor) const;
  /// Elements of the last dimension lie side by side; the other strides are free.
  void rows_contiguous(const char* name, const at::Tensor& tensor) const;
  /// E+1 ascending values from 0 to num_rows.
  void offsets(const char* name, const std::vector<int64_t>& offsets, int64_t num_groups,
               int64_t num_rows) const;

  /// `num_given` rows lie inside the vocabulary.
  void vocabulary_rows(const VocabularyRows& rows, int64_t num_given) const;

  /// All tensors (undefined ones are left out) lie on one device: true when it is a CUDA device, false for
  /// the CPU.
  bool on_cuda(std::initializer_list<const at::Tensor*> tensors) const;

  const char* operation() const { return operation_; }

 private:
  const char* operation_;
};

}  // namespace athanor::kernels
