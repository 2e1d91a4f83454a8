#include "kernels/cpu/embedding.h"

#include "core/error.h"
#include "kernels/ops.h"
#include "kernels/tensor_check.h"

namespace athanor::kernels {
namespace {

// Ids come from files: a bad one is the user's data, not a bug.
void check_ids(const at::Tensor& ids_T, int64_t vocabulary) {
  const auto* ids = ids_T.const_data_ptr<int64_t>();
  for (int64_t t = 0; t < ids_T.size(0); ++t)
    if (ids[t] < 0 || ids[t] >= vocabulary)
      throw core::DataError(
          "token id {} at position {} of the micro batch: expected 0..{} (the vocabulary of the embedding has {} "
          "entries); check that the data was tokenized with this model's tokenizer",
          ids[t], t, vocabulary - 1, vocabulary);
}

}  // namespace

void embedding(const at::Tensor& y_TD, const at::Tensor& ids_T, const at::Tensor& w_VD) {
  const at::ScalarType dtype = check_compute_dtype("embedding", "w", w_VD, 2);
  check_tensor("embedding", "w", w_VD, dtype, {kAnySize, kAnySize});
  check_tensor("embedding", "ids", ids_T, at::kLong, {kAnySize});
  check_tensor("embedding", "y", y_TD, dtype, {ids_T.size(0), w_VD.size(1)});
  check_ids(ids_T, w_VD.size(0));
  cpu::embedding(y_TD, ids_T, w_VD);
}

void embedding_backward(const at::Tensor& dw_VD, const at::Tensor& dy_TD, const at::Tensor& ids_T) {
  const at::ScalarType dtype = check_compute_dtype("embedding_backward", "dy", dy_TD, 2);
  check_tensor("embedding_backward", "dw", dw_VD, at::kFloat, {kAnySize, dy_TD.size(1)});
  check_tensor("embedding_backward", "ids", ids_T, at::kLong, {kAnySize});
  check_tensor("embedding_backward", "dy", dy_TD, dtype, {ids_T.size(0), kAnySize});
  check_ids(ids_T, dw_VD.size(0));
  cpu::embedding_backward(dw_VD, dy_TD, ids_T);
}

}  // namespace athanor::kernels
