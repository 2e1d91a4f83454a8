// Operations on stretches of flat buffers, compiled once per instruction set.
#include "kernels/cpu/flat_ops.h"
#include "kernels/cpu/simd.h"

namespace athanor::kernels::cpu::ATHANOR_ISA {
namespace {

// The order of operations is torch.optim's: p *= keep; m += (g - m)(1 - beta1); v = v beta2 + (1 - beta2) g
// g; p += -step_size m / (sqrt(v) / sqrt(1 - beta2^t) + eps).
template <typename M>
void adamw(const AdamWSlice<M>& slice, const AdamWScalars& s) {
  for (int64_t i = 0; i < slice.num_elements; i += kLanes) {
    const int64_t left = slice.num_elements - i;
    const F32x16 g = mul(load_upto(slice.gradient + i, left), set1(s.gradient_scale));
    F32x16 m = load_upto(slice.exp_avg + i, left), v = load_upto(slice.exp_avg_sq + i, left);
    m = fma(set1(s.one_minus_beta1), sub(g, m), m);
    v = add(mul(v, set1(s.beta2)), mul(mul(set1(s.one_minus_beta2), g), g));
    const F32x16 denominator = add(div(sqrt(v), set1(s.sqrt_correction2)), set1(s.eps));
    F32x16 p = mul(load_upto(slice.master + i, left), set1(s.keep));
    p = add(p, div(mul(set1(s.minus_step_size), m), denominator));
    store_upto(slice.master + i, p, left);
    store_upto(slice.exp_avg + i, m, left);
    store_upto(slice.exp_avg_sq + i, v, left);
    if (slice.compute) store_upto(slice.compute + i, p, left);
  }
}

/// Sums of a growing number of parts, one per bit of the count so far: level k holds a finished sum of 2^k
/// parts.
class SumTree {
 public:
  void push(F32x16 x) {
    for (uint64_t bits = count_++; bits & 1; bits >>= 1) x = add(finished_[--height_], x);
    finished_[height_++] = x;
  }
  F32x16 total() const {
    F32x16 sum = finished_[height_ - 1];
    for (int level = height_ - 2; level >= 0; --level) sum = add(finished_[level], sum);
    return sum;
  }

 private:
  F32x16 finished_[64];
  int height_ = 0;
  uint64_t count_ = 0;
};

template <typename Out, typename Part>
void ordered_sum(Out* out, const Part* const* parts, int64_t num_parts, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i += kLanes) {
    const int64_t left = end - i;
    SumTree tree;
    for (int64_t p = 0; p < num_parts; ++p) tree.push(load_upto(parts[p] + i, left));
    store_upto(out + i, tree.total(), left);
  }
}

double square_sum(const float* x, int64_t num_elements) {
  double sums[8] = {};
  int64_t i = 0;
  for (; i + 8 <= num_elements; i += 8)
    for (int s = 0; s < 8; ++s) sums[s] += static_cast<double>(x[i + s]) * static_cast<double>(x[i + s]);
  for (int s = 0; i < num_elements; ++s, ++i)
    sums[s] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

}  // namespace

const FlatTable kFlatTable{adamw<float>,
                           adamw<Bf16>,
                           ordered_sum<float, float>,
                           ordered_sum<Bf16, float>,
                           ordered_sum<float, Bf16>,
                           ordered_sum<Bf16, Bf16>,
                           square_sum};

}  // namespace athanor::kernels::cpu::ATHANOR_ISA
