// The CPU side of the embedding. Same meaning as in kernels/ops.h; arguments are already checked. The
// table holds the rows of the ids from `first_id` on.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace athanor::kernels::cpu {

void embedding(const at::Tensor& y_TD, const at::Tensor& ids_T, const at::Tensor& w_VD, int64_t first_id);
void embedding_backward(const at::Tensor& dw_VD, const at::Tensor& dy_TD, const at::Tensor& ids_T,
                        int64_t first_id);

}  // namespace athanor::kernels::cpu
