#include "core/parallel_for.h"
#include "kernels/checks.h"
#include "kernels/cpu/pieces.h"
#include "kernels/cpu/row_ops.h"
#include "kernels/cpu/tensor_data.h"
#include "kernels/cuda_plugin.h"
#include "kernels/ops.h"

namespace athanor::kernels {
namespace {

// The weight gradient is split over columns, never over tokens.
constexpr int64_t kGradientColumns = 128;

/// What forward and backward have in common: x [T, D], w [D], rstd [T].
void check_common(const Checker& check, const at::Tensor& x, const at::Tensor& w, const at::Tensor& rstd) {
  check.dim("x", x, 2);
  check.compute_dtype("x", x);
  check.rows_contiguous("x", x);
  check.shape("w", w, {x.size(1)});
  check.dtype("w", w, x.scalar_type());
  check.contiguous("w", w);
  check.shape("rstd", rstd, {x.size(0)});
  check.dtype("rstd", rstd, at::kFloat);
  check.contiguous("rstd", rstd);
}

/// A contiguous [T, D] of x's dtype.
void check_like(const Checker& check, const char* name, const at::Tensor& tensor, const at::Tensor& x) {
  check.shape(name, tensor, {x.size(0), x.size(1)});
  check.dtype(name, tensor, x.scalar_type());
  check.contiguous(name, tensor);
}

template <typename T>
void forward(const at::Tensor& y, const at::Tensor& rstd, const at::Tensor& x, const at::Tensor& w,
             float eps) {
  const auto& table = cpu::row_table<T>();
  const int64_t num_columns = x.size(1), stride = x.stride(0);
  T* to = cpu::mutable_data<T>(y);
  cpu::for_each_row(x.size(0), num_columns,
                    [&, from = cpu::data<T>(x), weight = cpu::data<T>(w),
                     scale = cpu::mutable_data<float>(rstd)](int64_t t) {
                      scale[t] =
                          table.rms_norm(to + t * num_columns, from + t * stride, weight, num_columns, eps);
                    });
}

template <typename T>
void backward_input(const at::Tensor& dx, const at::Tensor& dy, const at::Tensor& x, const at::Tensor& w,
                    const at::Tensor& rstd) {
  const auto& table = cpu::row_table<T>();
  const int64_t num_columns = x.size(1), stride = x.stride(0);
  T* to = cpu::mutable_data<T>(dx);
  cpu::for_each_row(x.size(0), num_columns,
                    [&, gradient = cpu::data<T>(dy), from = cpu::data<T>(x), weight = cpu::data<T>(w),
                     scale = cpu::data<float>(rstd)](int64_t t) {
                      table.rms_norm_backward(to + t * num_columns, gradient + t * num_columns,
                                              from + t * stride, weight, num_columns, scale[t]);
                    });
}

template <typename T>
void backward_weight(const at::Tensor& dw, const at::Tensor& dy, const at::Tensor& x, const at::Tensor& rstd,
                     bool accumulate) {
  const auto& table = cpu::row_table<T>();
  const int64_t num_columns = x.size(1), stride = x.stride(0);
  float* to = cpu::mutable_data<float>(dw);
  const T *gradient = cpu::data<T>(dy), *from = cpu::data<T>(x);
  const float* scale = cpu::data<float>(rstd);
  cpu::for_each_stretch(num_columns, kGradientColumns, [&](int64_t first, int64_t width) {
    if (!accumulate) std::fill_n(to + first, width, 0.0f);
    for (int64_t t = 0; t < x.size(0); ++t)
      table.rms_norm_weight_gradient(to + first, gradient + t * num_columns + first,
                                     from + t * stride + first, width, scale[t]);
  });
}

/// Scratch of the CUDA side's weight gradient.
at::Tensor partial_sums(const at::Tensor& x, const at::Tensor& dw) {
  const int64_t count = (x.size(0) + ATHANOR_CUDA_ROWS_PER_PARTIAL - 1) / ATHANOR_CUDA_ROWS_PER_PARTIAL;
  return at::empty({count, x.size(1)}, dw.options());
}

}  // namespace

void rms_norm(const at::Tensor& y_TD, const at::Tensor& rstd_T, const at::Tensor& x_TD, const at::Tensor& w_D,
              double eps) {
  const Checker check("rms_norm");
  check_common(check, x_TD, w_D, rstd_T);
  check_like(check, "y", y_TD, x_TD);
  if (check.on_cuda({&y_TD, &rstd_T, &x_TD, &w_D}))
    return launch_cuda(
        "rms_norm", x_TD, cuda_plugin().rms_norm,
        AthanorCudaRmsNorm{y_TD.mutable_data_ptr(), cpu::mutable_data<float>(rstd_T), x_TD.const_data_ptr(),
                           w_D.const_data_ptr(), x_TD.size(0), x_TD.size(1), x_TD.stride(0),
                           static_cast<float>(eps), x_TD.scalar_type() == at::kBFloat16});
  cpu::with_compute_type(
      x_TD, [&](auto type) { forward<decltype(type)>(y_TD, rstd_T, x_TD, w_D, static_cast<float>(eps)); });
}

void rms_norm_backward(const at::Tensor& dx_TD, const at::Tensor& dw_D, const at::Tensor& dy_TD,
                       const at::Tensor& x_TD, const at::Tensor& w_D, const at::Tensor& rstd_T,
                       bool accumulate_dw) {
  const Checker check("rms_norm_backward");
  check_common(check, x_TD, w_D, rstd_T);
  check_like(check, "dx", dx_TD, x_TD);
  check_like(check, "dy", dy_TD, x_TD);
  if (dw_D.defined()) {
    check.shape("dw", dw_D, {x_TD.size(1)});
    check.dtype("dw", dw_D, at::kFloat);
    check.contiguous("dw", dw_D);
  }
  if (check.on_cuda({&dx_TD, &dw_D, &dy_TD, &x_TD, &w_D, &rstd_T})) {
    const at::Tensor partial = dw_D.defined() ? partial_sums(x_TD, dw_D) : at::Tensor();
    return launch_cuda(
        "rms_norm_backward", x_TD, cuda_plugin().rms_norm_backward,
        AthanorCudaRmsNormBackward{
            dx_TD.mutable_data_ptr(), dw_D.defined() ? cpu::mutable_data<float>(dw_D) : nullptr,
            partial.defined() ? cpu::mutable_data<float>(partial) : nullptr, dy_TD.const_data_ptr(),
            x_TD.const_data_ptr(), w_D.const_data_ptr(), cpu::data<float>(rstd_T), x_TD.size(0), x_TD.size(1),
            x_TD.stride(0), accumulate_dw, x_TD.scalar_type() == at::kBFloat16});
  }
  cpu::with_compute_type(x_TD, [&](auto type) {
    // The weight first: dx may be dy.
    if (dw_D.defined()) backward_weight<decltype(type)>(dw_D, dy_TD, x_TD, rstd_T, accumulate_dw);
    backward_input<decltype(type)>(dx_TD, dy_TD, x_TD, w_D, rstd_T);
  });
}

}  // namespace athanor::kernels
