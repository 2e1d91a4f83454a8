#include "model/fp8_linear.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include "model/add_gradient.h"
#include "model/autograd.h"
#include "model/grouped_gradient.h"

namespace athanor::model {
namespace {

using kernels::Fp8Keep;
using kernels::Fp8Matrix;
using kernels::Fp8Options;
using kernels::Fp8Scale;
using kernels::Fp8Tiles;

at::Tensor bf16(const at::Tensor& like, at::IntArrayRef shape) {
  return at::empty(shape, like.options().requires_grad(false).dtype(at::kBFloat16));
}

Fp8Matrix row_tiles(const at::Tensor& x, Fp8Scale scale, Fp8Keep keep) {
  return quantise(x, Fp8Tiles::kRow, {.scale = scale}, keep);
}

Fp8Options gradient_options(Fp8Scale scale) {
  return {.scale = scale, .floor = kernels::kFp8GradientFloor};
}

Fp8Matrix token_tiles(const at::Tensor& x, const Fp8Options& options, const std::vector<int64_t>& offsets) {
  return quantise(x, Fp8Tiles::kToken, options, kernels::fp8_operand(x.device()), offsets);
}

Fp8Matrix gradient_rows(const at::Tensor& dy, const Fp8Options& options) {
  return quantise(dy, Fp8Tiles::kRow, options, kernels::fp8_operand(dy.device()));
}

// The input of a layer between its forward and its backward pass: what its token tiles are cut from.
class KeptInput {
 public:
  // Quantises x for the forward product and keeps what backward wants.
  KeptInput(const at::Tensor& x, Fp8Scale scale, Recall recall = {})
      : scale_(scale), recall_(std::move(recall)) {
    const bool is_kept = c10::GradMode::is_enabled() && !recall_;
    keeps_codes_ = is_kept && scale == Fp8Scale::kPowerOfTwo;
    const Fp8Keep operand = kernels::fp8_operand(x.device());
    rows_ = row_tiles(x, scale, keeps_codes_ && operand == Fp8Keep::kExact ? Fp8Keep::kBoth : operand);
    if (is_kept && !keeps_codes_) x_ = x.detach();
  }
  const Fp8Matrix& rows() const { return rows_; }
  void end_forward() {
    if (keeps_codes_)
      rows_.exact = at::Tensor();
    else
      rows_ = {};
  }

  // bf16 values of rows [begin, begin + count).
  at::Tensor values(int64_t begin, int64_t count) const {
    if (x_.defined()) return x_.narrow(0, begin, count);
    if (recall_) {
      const at::Tensor x = recall_().narrow(0, begin, count);
      return scale_ == Fp8Scale::kFp32 ? x : row_tiles(x, scale_, Fp8Keep::kExact).exact;
    }
    Fp8Matrix part = rows_;
    part.codes = rows_.codes.narrow(0, begin, count);
    part.scales = rows_.scales.narrow(0, begin, count);
    make_exact(part);
    return part.exact;
  }

 private:
  Fp8Scale scale_;
  Recall recall_;
  bool keeps_codes_ = false;
  at::Tensor x_;
  Fp8Matrix rows_;
};

}  // namespace

at::Tensor fp8_linear(const at::Tensor& x_TK, Parameter& weight, Parameter* bias, Recall recall) {
  const Fp8Scale scale = weight.quantised.scale;
  KeptInput input(x_TK, scale, std::move(recall));
  at::Tensor y_TN = bf16(x_TK, {x_TK.size(0), weight.shape[0]});
  kernels::fp8_matmul_nt(y_TN, input.rows(), weight.quantised,
                         bias ? std::optional(bias->value) : std::nullopt);
  input.end_forward();
  record({y_TN}, {x_TK}, [input, weight = &weight, bias, scale](const Tensors& gradients) -> Tensors {
    const at::Tensor& dy_TN = gradients[0];
    const int64_t num_tokens = dy_TN.size(0);
    const Fp8Options options = gradient_options(scale);
    at::Tensor dx_TK = bf16(dy_TN, {num_tokens, weight->shape[1]});
    kernels::fp8_matmul_nn(dx_TK, gradient_rows(dy_TN, options), weight->quantised);
    add_gradient(*weight, [&](const at::Tensor& dw, bool accumulate) {
      const at::Tensor x = input.values(0, num_tokens);
      kernels::fp8_matmul_tn(dw, token_tiles(dy_TN, options, {}), token_tiles(x, {.scale = scale}, {}),
                             accumulate);
    });
    if (bias)
      add_gradient(*bias,
                   [&](const at::Tensor& db, bool accumulate) { kernels::sum_rows(db, dy_TN, accumulate); });
    return {dx_TK};
  });
  return y_TN;
}

at::Tensor fp8_grouped_linear(const at::Tensor& x_PK, Parameter& weight, const RowGroups& groups) {
  const Fp8Scale scale = weight.quantised.scale;
  KeptInput input(x_PK, scale);
  at::Tensor y_PN = bf16(x_PK, {x_PK.size(0), weight.shape[1]});
  kernels::fp8_grouped_matmul_nt(y_PN, input.rows(), weight.quantised, groups.offsets);
  input.end_forward();
  record({y_PN}, {x_PK}, [input, weight = &weight, groups, scale](const Tensors& gradients) -> Tensors {
    const at::Tensor& dy_PN = gradients[0];
    const Fp8Options options = gradient_options(scale);
    at::Tensor dx_PK = bf16(dy_PN, {dy_PN.size(0), weight->shape[2]});
    kernels::fp8_grouped_matmul_nn(dx_PK, gradient_rows(dy_PN, options), weight->quantised, groups.offsets);
    add_grouped_gradient(
        *weight, groups,
        [&](const at::Tensor& dw, int64_t begin, int64_t count, const std::vector<int64_t>& offsets,
            bool accumulate) {
          const at::Tensor x = input.values(begin, count), dy = dy_PN.narrow(0, begin, count);
          kernels::fp8_grouped_matmul_tn(dw, token_tiles(dy, options, offsets),
                                         token_tiles(x, {.scale = scale}, offsets), accumulate);
        });
    return {dx_PK};
  });
  return y_PN;
}

}  // namespace athanor::model
