#include "kernels/cuda/embedding.h"

#include <ATen/ops/sort.h>
#include <c10/core/GradMode.h>

#include "kernels/cuda_plugin.h"

namespace athanor::kernels::cuda {

void embedding(const at::Tensor& y_TD, const at::Tensor& ids_T, const at::Tensor& w_VD,
               const VocabularyRows& rows) {
  const c10::NoGradGuard without_recording;
  launch_cuda(
      "embedding", y_TD, cuda_plugin().embedding,
      AthanorCudaEmbedding{y_TD.mutable_data_ptr(), ids_T.const_data_ptr<int64_t>(), w_VD.const_data_ptr(),
                           y_TD.size(0), y_TD.size(1), w_VD.size(0), rows.first,
                           rows.size ? rows.size : w_VD.size(0), y_TD.scalar_type() == at::kBFloat16});
}

void embedding_backward(const at::Tensor& dw_VD, const at::Tensor& dy_TD, const at::Tensor& ids_T,
                        int64_t first_id) {
  const c10::NoGradGuard without_recording;
  const auto [sorted_ids, sorted_tokens] = at::sort(ids_T, /*stable=*/true, /*dim=*/0, /*descending=*/false);
  launch_cuda(
      "embedding_backward", dw_VD, cuda_plugin().embedding_backward,
      AthanorCudaEmbeddingBackward{dw_VD.mutable_data_ptr<float>(), dy_TD.const_data_ptr(),
                                   sorted_ids.const_data_ptr<int64_t>(),
                                   sorted_tokens.const_data_ptr<int64_t>(), dy_TD.size(0), dy_TD.size(1),
                                   dw_VD.size(0), first_id, dy_TD.scalar_type() == at::kBFloat16});
}

}  // namespace athanor::kernels::cuda
