#include "kernels/checks.h"

#include <fmt/ranges.h>

#include "core/error.h"

namespace athanor::kernels {
namespace {

std::string sizes_text(at::IntArrayRef sizes) {
  return fmt::format("[{}]", fmt::join(sizes.begin(), sizes.end(), ", "));
}

}  // namespace

void Checker::shape(const char* name, const at::Tensor& tensor, std::initializer_list<int64_t> sizes) const {
  const at::IntArrayRef expected(sizes);
  ATHANOR_CHECK(tensor.defined(), "{}: {} is undefined, expected shape {}", operation_, name,
                sizes_text(expected));
  ATHANOR_CHECK(tensor.sizes() == expected, "{}: {} has shape {}, expected {}", operation_, name,
                sizes_text(tensor.sizes()), sizes_text(expected));
}

void Checker::tensor(const char* name, const at::Tensor& tensor, at::ScalarType type,
                     std::initializer_list<int64_t> sizes) const {
  shape(name, tensor, sizes);
  dtype(name, tensor, type);
  contiguous(name, tensor);
}

void Checker::dim(const char* name, const at::Tensor& tensor, int64_t num_dims) const {
  ATHANOR_CHECK(tensor.defined(), "{}: {} is undefined, expected {} dimensions", operation_, name, num_dims);
  ATHANOR_CHECK(tensor.dim() == num_dims, "{}: {} has shape {}, expected {} dimensions", operation_, name,
                sizes_text(tensor.sizes()), num_dims);
}

void Checker::dtype(const char* name, const at::Tensor& tensor, at::ScalarType expected) const {
  ATHANOR_CHECK(tensor.defined(), "{}: {} is undefined, expected {}", operation_, name,
                c10::toString(expected));
  ATHANOR_CHECK(tensor.scalar_type() == expected, "{}: {} is {}, expected {}", operation_, name,
                c10::toString(tensor.scalar_type()), c10::toString(expected));
}

void Checker::compute_dtype(const char* name, const at::Tensor& tensor) const {
  ATHANOR_CHECK(tensor.defined(), "{}: {} is undefined, expected Float or BFloat16", operation_, name);
  const auto type = tensor.scalar_type();
  ATHANOR_CHECK(type == at::kFloat || type == at::kBFloat16, "{}: {} is {}, expected Float or BFloat16",
                operation_, name, c10::toString(type));
}

void Checker::contiguous(const char* name, const at::Tensor& tensor) const {
  ATHANOR_CHECK(tensor.is_contiguous(), "{}: {} with shape {} and strides {} is not contiguous", operation_,
                name, sizes_text(tensor.sizes()), sizes_text(tensor.strides()));
}

void Checker::rows_contiguous(const char* name, const at::Tensor& tensor) const {
  const bool ok = tensor.dim() > 0 && (tensor.size(-1) <= 1 || tensor.stride(-1) == 1);
  ATHANOR_CHECK(ok, "{}: the last dimension of {} with shape {} and strides {} is not contiguous", operation_,
                name, sizes_text(tensor.sizes()), sizes_text(tensor.strides()));
}

void Checker::offsets(const char* name, const std::vector<int64_t>& offsets, int64_t num_groups,
                      int64_t num_rows) const {
  const auto count = static_cast<int64_t>(offsets.size());
  ATHANOR_CHECK(count == num_groups + 1, "{}: {} has {} values, expected {}", operation_, name, count,
                num_groups + 1);
  ATHANOR_CHECK(offsets.front() == 0 && offsets.back() == num_rows,
                "{}: {} runs from {} to {}, expected 0 to {}", operation_, name, offsets.front(),
                offsets.back(), num_rows);
  for (int64_t i = 0; i < num_groups; ++i)
    ATHANOR_CHECK(offsets[i] <= offsets[i + 1], "{}: {} falls from {} to {} at index {}", operation_, name,
                  offsets[i], offsets[i + 1], i + 1);
}

void Checker::vocabulary_rows(const VocabularyRows& rows, int64_t num_given) const {
  if (rows.size == 0) {
    ATHANOR_CHECK(rows.first == 0, "{}: the whole vocabulary starts at row {}, expected 0", operation_,
                  rows.first);
    return;
  }
  ATHANOR_CHECK(rows.first >= 0 && rows.first + num_given <= rows.size,
                "{}: {} rows from row {} on, expected them to lie in a vocabulary of {}", operation_,
                num_given, rows.first, rows.size);
}

bool Checker::on_cuda(std::initializer_list<const at::Tensor*> tensors) const {
  const at::Tensor* first = nullptr;
  for (const at::Tensor* tensor : tensors) {
    if (!tensor->defined()) continue;
    if (!first) first = tensor;
    ATHANOR_CHECK(tensor->device() == first->device(), "{}: tensors are on {} and on {}", operation_,
                  first->device().str(), tensor->device().str());
  }
  ATHANOR_CHECK(first && (first->is_cpu() || first->is_cuda()), "{}: tensors are on {}, expected cpu or cuda",
                operation_, first ? first->device().str() : "no device");
  return first->is_cuda();
}

}  // namespace athanor::kernels
