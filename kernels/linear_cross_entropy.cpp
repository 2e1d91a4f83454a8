// The checks in front of the loss, and leaving out the ignored tokens: a prompt that is masked costs nothing.
#include "kernels/cpu/linear_cross_entropy.h"

#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>

#include "core/error.h"
#include "kernels/checks.h"
#include "kernels/cuda/linear_cross_entropy.h"
#include "kernels/ops.h"

namespace athanor::kernels {
namespace {

/// True on a CUDA device.
bool check_inputs(const Checker& check, const at::Tensor& loss_T, const at::Tensor& x_TD,
                  const at::Tensor& w_VD, const at::Tensor& labels_T, const VocabularyPart& part) {
  check.dim("x", x_TD, 2);
  check.compute_dtype("x", x_TD);
  check.contiguous("x", x_TD);
  check.dim("w", w_VD, 2);
  check.tensor("w", w_VD, x_TD.scalar_type(), {w_VD.size(0), x_TD.size(1)});
  check.tensor("labels", labels_T, at::kLong, {x_TD.size(0)});
  check.tensor("loss", loss_T, at::kFloat, {x_TD.size(0)});
  check.vocabulary_rows(part.rows, w_VD.size(0));
  ATHANOR_CHECK(part.combine || part.rows.size == 0 || part.rows.size == w_VD.size(0),
                "{}: {} of {} rows of the vocabulary and nothing that combines them", check.operation(),
                w_VD.size(0), part.rows.size);
  return check.on_cuda({&loss_T, &x_TD, &w_VD, &labels_T});
}

int64_t vocabulary_size(const at::Tensor& w_VD, const VocabularyPart& part) {
  return part.rows.size ? part.rows.size : w_VD.size(0);
}

/// Positions whose label is not ignored. Labels come from files: a bad one is the user's data, not a bug.
std::vector<int64_t> kept_tokens(const at::Tensor& labels_T, int64_t vocabulary) {
  std::vector<int64_t> kept;
  const auto* labels = labels_T.const_data_ptr<int64_t>();
  for (int64_t t = 0; t < labels_T.size(0); ++t) {
    if (labels[t] == kIgnoredLabel) continue;
    if (labels[t] < 0 || labels[t] >= vocabulary)
      throw core::DataError(
          "label {} at position {} of the micro batch: expected 0..{} (the head has {} entries) or {} "
          "(ignored); check "
          "that the data was tokenized with this model's tokenizer",
          labels[t], t, vocabulary - 1, vocabulary, kIgnoredLabel);
    kept.push_back(t);
  }
  return kept;
}

/// out = 0 but for out[kept[i]] = values[i].
void scatter(const at::Tensor& out, const at::Tensor& values, const at::Tensor& kept) {
  out.zero_();
  out.index_copy_(0, kept, values);
}

}  // namespace

void linear_cross_entropy(const at::Tensor& loss_T, const at::Tensor& lse_T, const at::Tensor& x_TD,
                          const at::Tensor& w_VD, const at::Tensor& labels_T, const VocabularyPart& part) {
  const Checker check("linear_cross_entropy");
  const bool on_cuda = check_inputs(check, loss_T, x_TD, w_VD, labels_T, part);
  if (lse_T.defined()) {
    check.on_cuda({&loss_T, &lse_T});
    check.tensor("lse", lse_T, at::kFloat, {x_TD.size(0)});
  }
  if (on_cuda) return cuda::linear_cross_entropy(loss_T, lse_T, x_TD, w_VD, labels_T, part);
  const std::vector<int64_t> kept = kept_tokens(labels_T, vocabulary_size(w_VD, part));
  if (lse_T.defined()) {
    // Every token's log-sum-exp is wanted; the loss of an ignored one is taken against any label, then
    // cleared.
    cpu::linear_cross_entropy(loss_T, lse_T, x_TD, w_VD, labels_T.clamp_min(0), part);
    loss_T.masked_fill_(labels_T == kIgnoredLabel, 0.0);
    return;
  }
  const at::Tensor index = at::tensor(kept, at::kLong);
  const at::Tensor loss = at::empty({index.size(0)}, at::kFloat);
  cpu::linear_cross_entropy(loss, {}, x_TD.index_select(0, index), w_VD, labels_T.index_select(0, index),
                            part);
  scatter(loss_T, loss, index);
}

void linear_cross_entropy_with_gradient(const at::Tensor& loss_T, const at::Tensor& dx_TD,
                                        const at::Tensor& dw_VD, const at::Tensor& x_TD,
                                        const at::Tensor& w_VD, const at::Tensor& labels_T,
                                        const at::Tensor& token_weight_T, bool accumulate_dw,
                                        const VocabularyPart& part) {
  const Checker check("linear_cross_entropy_with_gradient");
  const bool on_cuda = check_inputs(check, loss_T, x_TD, w_VD, labels_T, part);
  check.on_cuda({&loss_T, &dx_TD, &dw_VD, &token_weight_T});
  check.tensor("dx", dx_TD, x_TD.scalar_type(), {x_TD.size(0), x_TD.size(1)});
  if (dw_VD.defined()) check.tensor("dw", dw_VD, at::kFloat, {w_VD.size(0), w_VD.size(1)});
  check.tensor("token_weight", token_weight_T, at::kFloat, {x_TD.size(0)});
  if (on_cuda)
    return cuda::linear_cross_entropy_with_gradient(
        {loss_T, dx_TD, dw_VD, x_TD, w_VD, labels_T, token_weight_T, accumulate_dw, part});
  const std::vector<int64_t> kept = kept_tokens(labels_T, vocabulary_size(w_VD, part));
  if (static_cast<int64_t>(kept.size()) == x_TD.size(0))
    return cpu::linear_cross_entropy_with_gradient(
        {loss_T, dx_TD, dw_VD, x_TD, w_VD, labels_T, token_weight_T, accumulate_dw, part});
  const at::Tensor index = at::tensor(kept, at::kLong);
  const at::Tensor x = x_TD.index_select(0, index), labels = labels_T.index_select(0, index);
  const at::Tensor weight = token_weight_T.index_select(0, index);
  const at::Tensor loss = at::empty({index.size(0)}, at::kFloat), dx = at::empty(x.sizes(), x.options());
  cpu::linear_cross_entropy_with_gradient({loss, dx, dw_VD, x, w_VD, labels, weight, accumulate_dw, part});
  scatter(loss_T, loss, index);
  scatter(dx_TD, dx, index);
}

}  // namespace athanor::kernels
