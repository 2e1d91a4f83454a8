#include "kernels/cuda/mixture_of_experts.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include "core/error.h"
#include "kernels/cuda_plugin.h"

namespace athanor::kernels::cuda {
namespace {

constexpr int64_t kSlotsPerPiece = ATHANOR_CUDA_SLOTS_PER_PIECE;

const float* f32_or_null(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr;
}

void check_num_experts(const char* operation, int64_t num_experts) {
  ATHANOR_CHECK(num_experts <= ATHANOR_CUDA_MAX_EXPERTS, "{}: {} experts on a CUDA device, at most {}",
                operation, num_experts, ATHANOR_CUDA_MAX_EXPERTS);
}

int64_t num_chosen(const Permutation& permutation, int64_t num_tokens) {
  return num_tokens == 0 ? 0 : permutation.row_of_slot.size(0) / num_tokens;
}

}  // namespace

void route(const at::Tensor& expert_ids_TA, const at::Tensor& weights_TA, const at::Tensor& scores_TE,
           const at::Tensor& logits_TE, const at::Tensor& bias_E, const RouterOptions& options) {
  const c10::NoGradGuard without_recording;
  check_num_experts("route", logits_TE.size(1));
  launch_cuda(
      "route", logits_TE, cuda_plugin().route,
      AthanorCudaRoute{expert_ids_TA.mutable_data_ptr<int32_t>(), weights_TA.mutable_data_ptr<float>(),
                       scores_TE.mutable_data_ptr<float>(), logits_TE.const_data_ptr<float>(),
                       f32_or_null(bias_E), logits_TE.size(0), logits_TE.size(1), options.num_experts_per_tok,
                       options.n_group, options.topk_group, static_cast<float>(options.routed_scaling_factor),
                       options.score == RouterScore::kSigmoid, options.norm_topk_prob});
}

void route_backward(const at::Tensor& dlogits_TE, const at::Tensor& dweights_TA, const at::Tensor& dscores_TE,
                    const at::Tensor& expert_ids_TA, const at::Tensor& scores_TE,
                    const RouterOptions& options) {
  const c10::NoGradGuard without_recording;
  launch_cuda(
      "route_backward", scores_TE, cuda_plugin().route_backward,
      AthanorCudaRouteBackward{dlogits_TE.mutable_data_ptr<float>(), dweights_TA.const_data_ptr<float>(),
                               f32_or_null(dscores_TE), expert_ids_TA.const_data_ptr<int32_t>(),
                               scores_TE.const_data_ptr<float>(), scores_TE.size(0), scores_TE.size(1),
                               options.num_experts_per_tok, options.routed_scaling_factor,
                               options.score == RouterScore::kSigmoid, options.norm_topk_prob});
}

Permutation permutation_by_expert(const at::Tensor& expert_ids_TA, int64_t num_experts) {
  const c10::NoGradGuard without_recording;
  check_num_experts("permutation_by_expert", num_experts);
  const int64_t num_slots = expert_ids_TA.numel();
  const int64_t num_pieces = (num_slots + kSlotsPerPiece - 1) / kSlotsPerPiece;
  const auto whole = expert_ids_TA.options();
  const at::Tensor row_of_slot = at::empty({num_slots}, whole), token_of_row = at::empty({num_slots}, whole),
                   first_rows = at::empty({num_pieces, num_experts}, whole),
                   offsets = at::empty({num_experts + 2}, whole.dtype(at::kLong));
  launch_cuda("permutation_by_expert", expert_ids_TA, cuda_plugin().sort_slots,
              AthanorCudaSortSlots{
                  row_of_slot.mutable_data_ptr<int32_t>(), token_of_row.mutable_data_ptr<int32_t>(),
                  first_rows.mutable_data_ptr<int32_t>(), offsets.mutable_data_ptr<int64_t>(),
                  expert_ids_TA.const_data_ptr<int32_t>(), num_slots, num_experts, expert_ids_TA.size(1)});
  const at::Tensor on_host = offsets.cpu();
  const int64_t* values = on_host.const_data_ptr<int64_t>();
  const int64_t bad_slot = values[num_experts + 1];
  ATHANOR_CHECK(bad_slot < 0,
                "permutation_by_expert: slot {} names expert {}, expected -1 (dropped) or 0..{}", bad_slot,
                expert_ids_TA.view({num_slots}).select(0, bad_slot).item<int32_t>(), num_experts - 1);
  return {row_of_slot, token_of_row.narrow(0, 0, values[num_experts]), {values, values + num_experts + 1}};
}

void permute(const at::Tensor& x_PD, const at::Tensor& x_TD, const Permutation& permutation) {
  const c10::NoGradGuard without_recording;
  launch_cuda("permute", x_PD, cuda_plugin().gather_rows,
              AthanorCudaGatherRows{x_PD.mutable_data_ptr(), x_TD.const_data_ptr(),
                                    permutation.token_of_row.const_data_ptr<int32_t>(), x_PD.size(0),
                                    x_TD.size(1) * static_cast<int64_t>(x_TD.element_size())});
}

void combine(const at::Tensor& y_TD, const at::Tensor& y_PD, const at::Tensor& weights_TA,
             const Permutation& permutation) {
  const c10::NoGradGuard without_recording;
  launch_cuda(
      "combine", y_TD, cuda_plugin().combine,
      AthanorCudaCombine{y_TD.mutable_data_ptr(), y_PD.const_data_ptr(), f32_or_null(weights_TA),
                         permutation.row_of_slot.const_data_ptr<int32_t>(), y_TD.size(0), y_TD.size(1),
                         num_chosen(permutation, y_TD.size(0)), y_TD.scalar_type() == at::kBFloat16});
}

void combine_backward(const at::Tensor& dy_PD, const at::Tensor& dweights_TA, const at::Tensor& dy_TD,
                      const at::Tensor& y_PD, const at::Tensor& weights_TA, const Permutation& permutation) {
  const c10::NoGradGuard without_recording;
  launch_cuda("combine_backward", dy_PD, cuda_plugin().combine_backward,
              AthanorCudaCombineBackward{
                  dy_PD.mutable_data_ptr(), dweights_TA.mutable_data_ptr<float>(), dy_TD.const_data_ptr(),
                  y_PD.const_data_ptr(), weights_TA.const_data_ptr<float>(),
                  permutation.row_of_slot.const_data_ptr<int32_t>(), dy_TD.size(0), dy_TD.size(1),
                  weights_TA.size(1), dy_TD.scalar_type() == at::kBFloat16});
}

}  // namespace athanor::kernels::cuda
