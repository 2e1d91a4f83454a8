#include "core/error.h"
#include "kernels/checks.h"
#include "kernels/cpu/pieces.h"
#include "kernels/cpu/row_ops.h"
#include "kernels/cpu/tensor_data.h"
#include "kernels/cuda_plugin.h"
#include "kernels/ops.h"

namespace athanor::kernels {
namespace {

template <typename T>
void rotary_on_cpu(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                   const RotaryOptions& options) {
  const cpu::RotaryLayout layout{cos.size(1), options.interleaved, options.inverse};
  T* first = cpu::mutable_data<T>(x) + options.column;
  const float *c = cpu::data<float>(cos), *s = cpu::data<float>(sin);
  const auto run = cpu::row_table<T>().rotary;
  cpu::for_each_row(x.size(0), x.size(1) * 2 * layout.num_pairs, [&](int64_t t) {
    const int64_t angles = t * layout.num_pairs;
    for (int64_t h = 0; h < x.size(1); ++h)
      run(first + t * x.stride(0) + h * x.stride(1), c + angles, s + angles, layout);
  });
}

void rotary_on_cuda(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                    const RotaryOptions& options) {
  auto* first = static_cast<char*>(x.mutable_data_ptr()) + options.column * x.element_size();
  launch_cuda("rotary", x, cuda_plugin().rotary,
              AthanorCudaRotary{first, cpu::data<float>(cos), cpu::data<float>(sin), x.size(0), x.size(1),
                                x.stride(0), x.stride(1), cos.size(1), options.interleaved, options.inverse,
                                x.scalar_type() == at::kBFloat16});
}

}  // namespace

void rotary(const at::Tensor& x_THD, const at::Tensor& cos_TR, const at::Tensor& sin_TR,
            const RotaryOptions& options) {
  const Checker check("rotary");
  check.dim("x", x_THD, 3);
  check.compute_dtype("x", x_THD);
  check.rows_contiguous("x", x_THD);
  check.dim("cos", cos_TR, 2);
  const int64_t num_pairs = cos_TR.size(1);
  for (const auto& [name, angles] : {std::pair("cos", &cos_TR), std::pair("sin", &sin_TR)}) {
    check.shape(name, *angles, {x_THD.size(0), num_pairs});
    check.dtype(name, *angles, at::kFloat);
    check.contiguous(name, *angles);
  }
  ATHANOR_CHECK(num_pairs <= cpu::kMaxRotaryPairs, "rotary: {} pairs, at most {} are supported", num_pairs,
                cpu::kMaxRotaryPairs);
  ATHANOR_CHECK(options.column >= 0 && options.column + 2 * num_pairs <= x_THD.size(2),
                "rotary: columns {} to {} of heads of size {}", options.column,
                options.column + 2 * num_pairs, x_THD.size(2));
  if (check.on_cuda({&x_THD, &cos_TR, &sin_TR})) return rotary_on_cuda(x_THD, cos_TR, sin_TR, options);
  cpu::with_compute_type(x_THD,
                         [&](auto type) { rotary_on_cpu<decltype(type)>(x_THD, cos_TR, sin_TR, options); });
}

}  // namespace athanor::kernels
