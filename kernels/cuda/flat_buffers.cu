// The optimizer's update, sums over parts and sums of squares on flat buffers.
#include "kernels/cuda/device_code.cuh"
#include "kernels/cuda/entries.h"

namespace athanor::kernels::cuda {
namespace {

// Written with the _rn intrinsics, which the compiler does not fuse: the order is torch.optim's.
template <typename M>
__global__ void adamw_kernel(AthanorCudaAdamW p) {
  M *exp_avg = static_cast<M*>(p.exp_avg), *exp_avg_sq = static_cast<M*>(p.exp_avg_sq);
  Bf16* compute = static_cast<Bf16*>(p.compute);
  for (int64_t i = first_element(); i < p.num_elements; i += element_stride()) {
    const float g = __fmul_rn(p.gradient[i], p.gradient_scale);
    float m = to_f32(exp_avg[i]), v = to_f32(exp_avg_sq[i]);
    m = fmaf(p.one_minus_beta1, __fsub_rn(g, m), m);
    v = __fadd_rn(__fmul_rn(v, p.beta2), __fmul_rn(__fmul_rn(p.one_minus_beta2, g), g));
    const float denominator = __fadd_rn(__fdiv_rn(__fsqrt_rn(v), p.sqrt_correction2), p.eps);
    const float kept = __fmul_rn(p.master[i], p.keep);
    const float master = __fadd_rn(kept, __fdiv_rn(__fmul_rn(p.minus_step_size, m), denominator));
    p.master[i] = master;
    exp_avg[i] = from_f32<M>(m);
    exp_avg_sq[i] = from_f32<M>(v);
    if (compute) compute[i] = from_f32<Bf16>(master);
  }
}

/// One element of the tree over parts; `finished` holds a sum of 2^k parts for each bit k of the count so
/// far.
template <typename Part>
__device__ float tree_sum(const AthanorCudaOrderedSum& p, int64_t i) {
  float finished[10];
  static_assert(ATHANOR_CUDA_MAX_PARTS < (1 << 10), "one level per bit of the count");
  int height = 0;
  for (int64_t part = 0; part < p.num_parts; ++part) {
    float sum = to_f32(static_cast<const Part*>(p.parts[part])[i]);
    for (int64_t bits = part; bits & 1; bits >>= 1) sum = finished[--height] + sum;
    finished[height++] = sum;
  }
  float total = finished[--height];
  while (height > 0) total = finished[--height] + total;
  return total;
}

template <typename Out, typename Part>
__global__ void ordered_sum_kernel(const __grid_constant__ AthanorCudaOrderedSum p) {
  for (int64_t i = first_element(); i < p.num_elements; i += element_stride())
    static_cast<Out*>(p.out)[i] = from_f32<Out>(tree_sum<Part>(p, i));
}

/// Eight lanes own a chunk: lane s sums the squares of elements s, s + 8, ... in fp64, then one fixed tree.
/// The bits of kernels/cpu/flat_ops.inl.
__global__ void chunk_square_sums_kernel(AthanorCudaChunkSquareSums p) {
  constexpr int kLanesPerChunk = 8;
  const int64_t chunk = first_element() / kLanesPerChunk, lane = threadIdx.x % kLanesPerChunk;
  const int64_t begin = chunk * p.chunk_size;
  const int64_t end = begin + p.chunk_size < p.num_elements ? begin + p.chunk_size : p.num_elements;
  double sum = 0;
#pragma unroll 8
  for (int64_t i = begin + lane; i < end; i += kLanesPerChunk) {
    const double x = p.flat[i];  // the square of a float is exact in fp64
    sum += x * x;
  }
  for (int distance = kLanesPerChunk / 2; distance > 0; distance /= 2)
    sum += __shfl_down_sync(kFullWarp, sum, distance, kLanesPerChunk);
  if (lane == 0 && begin < end) p.out[chunk] = sum;
}

/// Launches one of two instances of a kernel.
template <typename Kernel, typename Arguments>
int launch_either(bool is_bf16, Kernel bf16_kernel, Kernel f32_kernel, int64_t num_elements,
                  const Arguments& arguments, void* stream) {
  return launch(is_bf16 ? bf16_kernel : f32_kernel, blocks_for(num_elements), arguments, stream);
}

}  // namespace

int adamw(const AthanorCudaAdamW* p, void* stream) {
  return launch_either(p->moments_are_bf16, adamw_kernel<Bf16>, adamw_kernel<float>, p->num_elements, *p,
                       stream);
}

int ordered_sum(const AthanorCudaOrderedSum* p, void* stream) {
  if (p->num_parts < 1 || p->num_parts > ATHANOR_CUDA_MAX_PARTS) return cudaErrorInvalidValue;
  if (p->out_is_bf16)
    return launch_either(p->parts_are_bf16, ordered_sum_kernel<Bf16, Bf16>, ordered_sum_kernel<Bf16, float>,
                         p->num_elements, *p, stream);
  return launch_either(p->parts_are_bf16, ordered_sum_kernel<float, Bf16>, ordered_sum_kernel<float, float>,
                       p->num_elements, *p, stream);
}

int chunk_square_sums(const AthanorCudaChunkSquareSums* p, void* stream) {
  const int64_t num_chunks = ceil_div(p->num_elements, p->chunk_size);
  return launch(chunk_square_sums_kernel, ceil_div(num_chunks * 8, kThreads), *p, stream);
}

}  // namespace athanor::kernels::cuda
