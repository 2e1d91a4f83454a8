#include "core/error.h"
#include "kernels/checks.h"
#include "kernels/cpu/pieces.h"
#include "kernels/cpu/row_ops.h"
#include "kernels/cpu/tensor_data.h"
#include "kernels/cuda_plugin.h"
#include "kernels/ops.h"

namespace athanor::kernels {
namespace {

void check_matrix(const Checker& check, const char* name, const at::Tensor& tensor, const at::Tensor& like,
                  int64_t num_columns) {
  check.shape(name, tensor, {like.size(0), num_columns});
  check.dtype(name, tensor, like.scalar_type());
  check.contiguous(name, tensor);
}

/// gate_up [T, 2F]; returns F.
int64_t check_gate_up(const Checker& check, const at::Tensor& gate_up) {
  check.dim("gate_up", gate_up, 2);
  check.compute_dtype("gate_up", gate_up);
  check.contiguous("gate_up", gate_up);
  ATHANOR_CHECK(gate_up.size(1) % 2 == 0, "{}: gate_up has {} columns, expected an even number",
                check.operation(), gate_up.size(1));
  return gate_up.size(1) / 2;
}

template <typename T>
void swiglu_on_cpu(const at::Tensor& h, const at::Tensor& gate_up) {
  const int64_t width = h.size(1);
  T* to = cpu::mutable_data<T>(h);
  const T* from = cpu::data<T>(gate_up);
  cpu::for_each_row(h.size(0), 2 * width, [&, run = cpu::row_table<T>().swiglu](int64_t t) {
    const T* gate = from + 2 * t * width;
    run(to + t * width, gate, gate + width, width);
  });
}

template <typename T>
void swiglu_backward_on_cpu(const at::Tensor& dgate_up, const at::Tensor& dh, const at::Tensor& gate_up) {
  const int64_t width = dh.size(1);
  T* to = cpu::mutable_data<T>(dgate_up);
  const T *gradient = cpu::data<T>(dh), *from = cpu::data<T>(gate_up);
  cpu::for_each_row(dh.size(0), 2 * width, [&, run = cpu::row_table<T>().swiglu_backward](int64_t t) {
    const T* gate = from + 2 * t * width;
    T* dgate = to + 2 * t * width;
    run(dgate, dgate + width, gradient + t * width, gate, gate + width, width);
  });
}

}  // namespace

void swiglu(const at::Tensor& h_TF, const at::Tensor& gate_up_T2F) {
  const Checker check("swiglu");
  const int64_t width = check_gate_up(check, gate_up_T2F);
  check_matrix(check, "h", h_TF, gate_up_T2F, width);
  if (check.on_cuda({&h_TF, &gate_up_T2F}))
    return launch_cuda("swiglu", h_TF, cuda_plugin().swiglu,
                       AthanorCudaSwiglu{h_TF.mutable_data_ptr(), nullptr, gate_up_T2F.const_data_ptr(),
                                         h_TF.size(0), width, h_TF.scalar_type() == at::kBFloat16});
  cpu::with_compute_type(h_TF, [&](auto type) { swiglu_on_cpu<decltype(type)>(h_TF, gate_up_T2F); });
}

void swiglu_backward(const at::Tensor& dgate_up_T2F, const at::Tensor& dh_TF, const at::Tensor& gate_up_T2F) {
  const Checker check("swiglu_backward");
  const int64_t width = check_gate_up(check, gate_up_T2F);
  check_matrix(check, "dgate_up", dgate_up_T2F, gate_up_T2F, 2 * width);
  check_matrix(check, "dh", dh_TF, gate_up_T2F, width);
  if (check.on_cuda({&dgate_up_T2F, &dh_TF, &gate_up_T2F}))
    return launch_cuda("swiglu_backward", dh_TF, cuda_plugin().swiglu_backward,
                       AthanorCudaSwiglu{dgate_up_T2F.mutable_data_ptr(), dh_TF.const_data_ptr(),
                                         gate_up_T2F.const_data_ptr(), dh_TF.size(0), width,
                                         dh_TF.scalar_type() == at::kBFloat16});
  cpu::with_compute_type(
      dh_TF, [&](auto type) { swiglu_backward_on_cpu<decltype(type)>(dgate_up_T2F, dh_TF, gate_up_T2F); });
}

}  // namespace athanor::kernels
