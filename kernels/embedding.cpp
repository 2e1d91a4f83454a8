// The checks in front of the embedding.
#include "kernels/cpu/embedding.h"

#include "core/error.h"
#include "kernels/checks.h"
#include "kernels/cuda/embedding.h"
#include "kernels/ops.h"

namespace athanor::kernels {
namespace {

// Ids come from files: a bad one is the user's data, not a bug.
void check_ids(const at::Tensor& ids_T, int64_t vocabulary) {
  const auto* ids = ids_T.const_data_ptr<int64_t>();
  for (int64_t t = 0; t < ids_T.size(0); ++t)
    if (ids[t] < 0 || ids[t] >= vocabulary)
      throw core::DataError(
          "token id {} at position {} of the micro batch: expected 0..{} (the vocabulary of the embedding "
          "has {} "
          "entries); check that the data was tokenized with this model's tokenizer",
          ids[t], t, vocabulary - 1, vocabulary);
}

/// True on a CUDA device.
bool check_arguments(const Checker& check, const at::Tensor& rows_TD, const at::Tensor& ids_T,
                     const at::Tensor& table_VD, at::ScalarType table_dtype, const VocabularyRows& rows) {
  check.dim("the rows of tokens", rows_TD, 2);
  check.dim("the table", table_VD, 2);
  check.compute_dtype("the rows of tokens", rows_TD);
  check.contiguous("the rows of tokens", rows_TD);
  check.tensor("the table", table_VD, table_dtype, {table_VD.size(0), rows_TD.size(1)});
  check.tensor("ids", ids_T, at::kLong, {rows_TD.size(0)});
  check.vocabulary_rows(rows, table_VD.size(0));
  const bool on_cuda = check.on_cuda({&rows_TD, &ids_T, &table_VD});
  if (!on_cuda) check_ids(ids_T, rows.size ? rows.size : table_VD.size(0));
  return on_cuda;
}

}  // namespace

void embedding(const at::Tensor& y_TD, const at::Tensor& ids_T, const at::Tensor& w_VD,
               const VocabularyRows& rows) {
  if (check_arguments(Checker("embedding"), y_TD, ids_T, w_VD, y_TD.scalar_type(), rows))
    return cuda::embedding(y_TD, ids_T, w_VD, rows);
  cpu::embedding(y_TD, ids_T, w_VD, rows.first);
}

void embedding_backward(const at::Tensor& dw_VD, const at::Tensor& dy_TD, const at::Tensor& ids_T,
                        const VocabularyRows& rows) {
  if (check_arguments(Checker("embedding_backward"), dy_TD, ids_T, dw_VD, at::kFloat, rows))
    return cuda::embedding_backward(dw_VD, dy_TD, ids_T, rows.first);
  cpu::embedding_backward(dw_VD, dy_TD, ids_T, rows.first);
}

}  // namespace athanor::kernels
