// A block of tokens at a time has its logits in fp32; one kernel turns them into losses and, in place or
// rounded to bf16, into their own gradient.
#include "kernels/cuda/linear_cross_entropy.h"

#include <algorithm>

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include "kernels/cuda_plugin.h"
#include "kernels/ops.h"

namespace athanor::kernels::cuda {
namespace {

constexpr int64_t kTokenMultiple = 128;

int64_t tokens_per_block(int64_t num_tokens, int64_t vocabulary, int64_t max_logits) {
  const int64_t fitting = max_logits / std::max<int64_t>(vocabulary, 1) / kTokenMultiple * kTokenMultiple;
  return std::min(num_tokens, std::max(fitting, kTokenMultiple));
}

/// Calls body(first token, number of tokens, logits buffer rows) block by block.
template <typename Body>
void for_each_block(const at::Tensor& x_TD, const at::Tensor& w_VD, int64_t max_logits, Body body) {
  const int64_t num_tokens = x_TD.size(0), vocabulary = w_VD.size(0);
  const int64_t block = tokens_per_block(num_tokens, vocabulary, max_logits);
  const at::Tensor buffer = at::empty({block, vocabulary}, x_TD.options().dtype(at::kFloat));
  for (int64_t first = 0; first < num_tokens; first += block) {
    const int64_t count = std::min(block, num_tokens - first);
    const at::Tensor logits = buffer.narrow(0, 0, count);
    matmul_nt(logits, x_TD.narrow(0, first, count), w_VD);
    body(first, count, logits);
  }
}

/// The second pass over a block of logits, with what all parts of the vocabulary say of its tokens. Keeps the
/// states alive.
struct LossRows {
  at::Tensor states_N3;
  AthanorCudaLossRows arguments{};

  LossRows(const at::Tensor& loss, const at::Tensor& logits, const at::Tensor& labels,
           const VocabularyPart& part)
      : states_N3(at::empty({logits.size(0), 3}, logits.options())) {
    AthanorCudaLossRows& a = arguments;
    a.loss = loss.mutable_data_ptr<float>();
    a.logits = logits.const_data_ptr<float>();
    a.labels = labels.const_data_ptr<int64_t>();
    a.num_rows = logits.size(0);
    a.num_columns = logits.size(1);
    a.first_label = part.rows.first;
    a.vocabulary = part.rows.size ? part.rows.size : logits.size(1);
    a.ignored_label = kIgnoredLabel;
    launch_cuda("linear_cross_entropy", logits, cuda_plugin().loss_states,
                AthanorCudaLossStates{states_N3.mutable_data_ptr<float>(), a.logits, a.labels, a.num_rows,
                                      a.num_columns, a.first_label});
    if (part.combine) part.combine(states_N3);
    a.states = states_N3.const_data_ptr<float>();
  }
};

}  // namespace

void linear_cross_entropy(const at::Tensor& loss_T, const at::Tensor& lse_T, const at::Tensor& x_TD,
                          const at::Tensor& w_VD, const at::Tensor& labels_T, const VocabularyPart& part,
                          int64_t max_logits) {
  const c10::NoGradGuard without_recording;
  if (x_TD.size(0) == 0) return;
  for_each_block(x_TD, w_VD, max_logits, [&](int64_t first, int64_t count, const at::Tensor& logits) {
    LossRows rows(loss_T.narrow(0, first, count), logits, labels_T.narrow(0, first, count), part);
    if (lse_T.defined()) rows.arguments.lse = lse_T.mutable_data_ptr<float>() + first;
    launch_cuda("linear_cross_entropy", logits, cuda_plugin().loss_rows, rows.arguments);
  });
}

void linear_cross_entropy_with_gradient(const LossGradientArgs& args, int64_t max_logits) {
  const c10::NoGradGuard without_recording;
  if (args.x_TD.size(0) == 0) {
    if (args.dw_VD.defined() && !args.accumulate_dw) args.dw_VD.zero_();
    return;
  }
  const bool in_place = args.x_TD.scalar_type() == at::kFloat;
  at::Tensor rounded;
  for_each_block(
      args.x_TD, args.w_VD, max_logits, [&](int64_t first, int64_t count, const at::Tensor& logits) {
        if (!in_place && !rounded.defined()) rounded = at::empty(logits.sizes(), args.x_TD.options());
        const at::Tensor dlogits = in_place ? logits : rounded.narrow(0, 0, count);
        LossRows rows(args.loss_T.narrow(0, first, count), logits, args.labels_T.narrow(0, first, count),
                      args.part);
        rows.arguments.dlogits = dlogits.mutable_data_ptr();
        rows.arguments.dlogits_are_bf16 = !in_place;
        rows.arguments.token_weight = args.token_weight_T.const_data_ptr<float>() + first;
        launch_cuda("linear_cross_entropy_with_gradient", logits, cuda_plugin().loss_rows, rows.arguments);
        matmul_nn(args.dx_TD.narrow(0, first, count), dlogits, args.w_VD);
        if (args.dw_VD.defined())
          matmul_tn(args.dw_VD, dlogits, args.x_TD.narrow(0, first, count), args.accumulate_dw || first > 0);
      });
}

}  // namespace athanor::kernels::cuda
