#include <cmath>

#include "core/error.h"
#include "kernels/checks.h"
#include "kernels/cpu/flat_ops.h"
#include "kernels/cpu/pieces.h"
#include "kernels/cpu/tensor_data.h"
#include "kernels/cuda_plugin.h"
#include "kernels/ops.h"

namespace athanor::kernels {
namespace {

using cpu::Bf16;

constexpr int64_t kStretch = 16384;

// ---- ordered sum
// ---------------------------------------------------------------------------------------------

template <typename Out, typename Part, typename Run>
void sum_parts(const at::Tensor& out, const std::vector<at::Tensor>& parts, Run run) {
  std::vector<const Part*> pointers;
  for (const at::Tensor& part : parts) pointers.push_back(cpu::data<Part>(part));
  cpu::for_each_stretch(out.numel(), kStretch, [&](int64_t begin, int64_t length) {
    run(cpu::mutable_data<Out>(out), pointers.data(), static_cast<int64_t>(pointers.size()), begin,
        begin + length);
  });
}

void sum_on_cpu(const at::Tensor& out, const std::vector<at::Tensor>& parts) {
  const cpu::FlatTable& table = cpu::flat_table();
  if (is_bf16(parts[0]))
    is_bf16(out) ? sum_parts<Bf16, Bf16>(out, parts, table.ordered_sum_bf16_bf16)
                 : sum_parts<float, Bf16>(out, parts, table.ordered_sum_f32_bf16);
  else
    is_bf16(out) ? sum_parts<Bf16, float>(out, parts, table.ordered_sum_bf16_f32)
                 : sum_parts<float, float>(out, parts, table.ordered_sum_f32_f32);
}

void sum_on_cuda(const at::Tensor& out, const std::vector<at::Tensor>& parts) {
  ATHANOR_CHECK(parts.size() <= ATHANOR_CUDA_MAX_PARTS, "ordered_sum: {} parts on a CUDA device, at most {}",
                parts.size(), ATHANOR_CUDA_MAX_PARTS);
  AthanorCudaOrderedSum arguments{};
  arguments.out = out.mutable_data_ptr();
  for (size_t i = 0; i < parts.size(); ++i) arguments.parts[i] = parts[i].const_data_ptr();
  arguments.num_parts = static_cast<int64_t>(parts.size());
  arguments.num_elements = out.numel();
  arguments.out_is_bf16 = is_bf16(out);
  arguments.parts_are_bf16 = is_bf16(parts[0]);
  launch_cuda("ordered_sum", out, cuda_plugin().ordered_sum, arguments);
}

// ---- AdamW
// ---------------------------------------------------------------------------------------------------

cpu::AdamWScalars adamw_scalars(const AdamWOptions& o, bool decays) {
  const double step = static_cast<double>(o.step);
  const double correction1 = 1 - std::pow(o.beta1, step), correction2 = 1 - std::pow(o.beta2, step);
  const auto f32 = [](double x) { return static_cast<float>(x); };
  return {f32(o.gradient_scale),
          decays ? f32(1 - o.learning_rate * o.weight_decay) : 1.0f,
          f32(1 - o.beta1),
          f32(o.beta2),
          f32(1 - o.beta2),
          f32(std::sqrt(correction2)),
          f32(o.eps),
          f32(-o.learning_rate / correction1)};
}

/// Calls body(begin, end, decays) for the parts of [begin, end) that decay and those that do not, in order.
template <typename Body>
void split_by_decay(const std::vector<ElementRange>& decay, int64_t begin, int64_t end, Body body) {
  auto range =
      std::partition_point(decay.begin(), decay.end(), [&](const auto& r) { return r.end <= begin; });
  while (begin < end) {
    const bool more = range != decay.end() && range->begin < end;
    const int64_t decay_begin = more ? std::max(range->begin, begin) : end;
    if (begin < decay_begin) body(begin, decay_begin, false);
    if (!more) return;
    begin = std::min(range->end, end);
    if (decay_begin < begin) body(decay_begin, begin, true);
    ++range;
  }
}

struct AdamWTensors {
  const at::Tensor &master, &exp_avg, &exp_avg_sq, &gradient, &compute;
};

template <typename M>
cpu::AdamWSlice<M> slice(const AdamWTensors& t, int64_t begin, int64_t end) {
  return {cpu::mutable_data<float>(t.master) + begin,
          cpu::mutable_data<M>(t.exp_avg) + begin,
          cpu::mutable_data<M>(t.exp_avg_sq) + begin,
          cpu::data<float>(t.gradient) + begin,
          t.compute.defined() ? cpu::mutable_data<Bf16>(t.compute) + begin : nullptr,
          end - begin};
}

template <typename M, typename Run>
void adamw_on_cpu(const AdamWTensors& tensors, const std::vector<ElementRange>& decay,
                  const AdamWOptions& options, Run run) {
  const cpu::AdamWScalars with_decay = adamw_scalars(options, true), without = adamw_scalars(options, false);
  cpu::for_each_stretch(tensors.master.numel(), kStretch, [&](int64_t first, int64_t length) {
    split_by_decay(decay, first, first + length, [&](int64_t begin, int64_t end, bool decays) {
      run(slice<M>(tensors, begin, end), decays ? with_decay : without);
    });
  });
}

template <typename M>
void adamw_on_cuda(const AdamWTensors& tensors, const std::vector<ElementRange>& decay,
                   const AdamWOptions& options) {
  split_by_decay(decay, 0, tensors.master.numel(), [&](int64_t begin, int64_t end, bool decays) {
    const auto part = slice<M>(tensors, begin, end);
    const cpu::AdamWScalars s = adamw_scalars(options, decays);
    launch_cuda("adamw", tensors.master, cuda_plugin().adamw,
                AthanorCudaAdamW{part.master, part.exp_avg, part.exp_avg_sq, part.gradient, part.compute,
                                 part.num_elements, s.gradient_scale, s.keep, s.one_minus_beta1, s.beta2,
                                 s.one_minus_beta2, s.sqrt_correction2, s.eps, s.minus_step_size,
                                 is_bf16(tensors.exp_avg)});
  });
}

void check_decay(const std::vector<ElementRange>& decay, int64_t num_elements) {
  int64_t previous_end = 0;
  for (const auto& [begin, end] : decay) {
    ATHANOR_CHECK(previous_end <= begin && begin <= end && end <= num_elements,
                  "adamw: decay range [{}, {}) after {} in a slice of {} elements", begin, end, previous_end,
                  num_elements);
    previous_end = end;
  }
}

void check_flat(const Checker& check, const char* name, const at::Tensor& tensor, int64_t num_elements,
                at::ScalarType dtype) {
  check.shape(name, tensor, {num_elements});
  check.dtype(name, tensor, dtype);
  check.contiguous(name, tensor);
}

}  // namespace

void ordered_sum(const at::Tensor& out, const std::vector<at::Tensor>& parts) {
  const Checker check("ordered_sum");
  ATHANOR_CHECK(!parts.empty(), "ordered_sum: there are no parts");
  check.compute_dtype("out", out);
  check.contiguous("out", out);
  check.compute_dtype("parts[0]", parts[0]);
  bool on_cuda = check.on_cuda({&out});
  for (const at::Tensor& part : parts) {
    check.dtype("part", part, parts[0].scalar_type());
    ATHANOR_CHECK(part.sizes() == out.sizes(),
                  "ordered_sum: a part has {} elements in another shape than out with {}", part.numel(),
                  out.numel());
    check.contiguous("part", part);
    check.on_cuda({&out, &part});
  }
  on_cuda ? sum_on_cuda(out, parts) : sum_on_cpu(out, parts);
}

void chunk_square_sums(const at::Tensor& out, const at::Tensor& flat) {
  constexpr int64_t kChunksPerPiece = 64;
  const Checker check("chunk_square_sums");
  check.dim("flat", flat, 1);
  const int64_t num_elements = flat.numel(),
                num_chunks = (num_elements + kFlatAlignment - 1) / kFlatAlignment;
  check_flat(check, "flat", flat, num_elements, at::kFloat);
  check_flat(check, "out", out, num_chunks, at::kDouble);
  if (check.on_cuda({&out, &flat}))
    return launch_cuda("chunk_square_sums", out, cuda_plugin().chunk_square_sums,
                       AthanorCudaChunkSquareSums{cpu::mutable_data<double>(out), cpu::data<float>(flat),
                                                  num_elements, kFlatAlignment});
  const float* from = cpu::data<float>(flat);
  double* to = cpu::mutable_data<double>(out);
  cpu::for_each_stretch(num_chunks, kChunksPerPiece,
                        [&, sum = cpu::flat_table().square_sum](int64_t begin, int64_t count) {
                          for (int64_t chunk = begin; chunk < begin + count; ++chunk) {
                            const int64_t first = chunk * kFlatAlignment;
                            to[chunk] = sum(from + first, std::min(kFlatAlignment, num_elements - first));
                          }
                        });
}

void adamw(const at::Tensor& master, const at::Tensor& exp_avg, const at::Tensor& exp_avg_sq,
           const at::Tensor& gradient, const at::Tensor& compute, const std::vector<ElementRange>& decay,
           const AdamWOptions& options) {
  const Checker check("adamw");
  check.dim("master", master, 1);
  const int64_t num_elements = master.numel();
  check.compute_dtype("exp_avg", exp_avg);
  check_flat(check, "master", master, num_elements, at::kFloat);
  check_flat(check, "exp_avg", exp_avg, num_elements, exp_avg.scalar_type());
  check_flat(check, "exp_avg_sq", exp_avg_sq, num_elements, exp_avg.scalar_type());
  check_flat(check, "gradient", gradient, num_elements, at::kFloat);
  if (compute.defined()) check_flat(check, "compute", compute, num_elements, at::kBFloat16);
  check_decay(decay, num_elements);
  ATHANOR_CHECK(options.step >= 1, "adamw: step {}, the first is 1", options.step);
  const AdamWTensors tensors{master, exp_avg, exp_avg_sq, gradient, compute};
  const bool on_cuda = check.on_cuda({&master, &exp_avg, &exp_avg_sq, &gradient, &compute});
  if (is_bf16(exp_avg))
    on_cuda ? adamw_on_cuda<Bf16>(tensors, decay, options)
            : adamw_on_cpu<Bf16>(tensors, decay, options, cpu::flat_table().adamw_bf16);
  else
    on_cuda ? adamw_on_cuda<float>(tensors, decay, options)
            : adamw_on_cpu<float>(tensors, decay, options, cpu::flat_table().adamw_f32);
}

}  // namespace athanor::kernels
