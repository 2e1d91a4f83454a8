// The CUDA side of the embedding. Same meaning as in kernels/ops.h; arguments are already checked, but for
// the ids.
#pragma once

#include "kernels/ops.h"

namespace athanor::kernels::cuda {

void embedding(const at::Tensor& y_TD, const at::Tensor& ids_T, const at::Tensor& w_VD,
               const VocabularyRows& rows);
void embedding_backward(const at::Tensor& dw_VD, const at::Tensor& dy_TD, const at::Tensor& ids_T,
                        int64_t first_id);

}  // namespace athanor::kernels::cuda
