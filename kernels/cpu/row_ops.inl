// Operations on one row, compiled once per instruction set.
#include "kernels/cpu/row_ops.h"
#include "kernels/cpu/simd_math.h"

namespace athanor::kernels::cpu::ATHANOR_ISA {
namespace {

/// Rounds to T and back.
template <typename T>
ATHANOR_INLINE F32x16 rounded(F32x16 x) {
  T lanes[kLanes];
  store(lanes, x);
  return load(lanes);
}

/// The sum of term(i, left) over a row of vectors: four partial sums taken in turn, then one fixed tree.
template <typename Term>
ATHANOR_INLINE float sum_over_row(int64_t num_columns, Term term) {
  F32x16 sums[4] = {zero(), zero(), zero(), zero()};
  int64_t i = 0;
  for (; i + 4 * kLanes <= num_columns; i += 4 * kLanes)
    for (int s = 0; s < 4; ++s) sums[s] = term(sums[s], i + s * kLanes);
  for (int s = 0; i < num_columns; ++s, i += kLanes) sums[s] = term(sums[s], i);
  return sum_lanes(add(add(sums[0], sums[1]), add(sums[2], sums[3])));
}

template <typename T>
float rms_norm(T* y, const T* x, const T* w, int64_t num_columns, float eps) {
  const float squares = sum_over_row(num_columns, [&](F32x16 sum, int64_t i) {
    const F32x16 value = load_upto(x + i, num_columns - i);
    return fma(value, value, sum);
  });
  const float rstd = 1.0f / __builtin_sqrtf(squares / static_cast<float>(num_columns) + eps);
  for (int64_t i = 0; i < num_columns; i += kLanes) {
    const int64_t left = num_columns - i;
    const F32x16 normalised = rounded<T>(mul(load_upto(x + i, left), set1(rstd)));
    store_upto(y + i, mul(load_upto(w + i, left), normalised), left);
  }
  return rstd;
}

template <typename T>
void rms_norm_backward(T* dx, const T* dy, const T* x, const T* w, int64_t num_columns, float rstd) {
  const float dot = sum_over_row(num_columns, [&](F32x16 sum, int64_t i) {
    const int64_t left = num_columns - i;
    return fma(mul(load_upto(dy + i, left), load_upto(w + i, left)), load_upto(x + i, left), sum);
  });
  const float shared = dot * rstd * rstd / static_cast<float>(num_columns);
  for (int64_t i = 0; i < num_columns; i += kLanes) {
    const int64_t left = num_columns - i;
    const F32x16 scaled = mul(load_upto(dy + i, left), load_upto(w + i, left));
    const F32x16 along = mul(load_upto(x + i, left), set1(shared));
    store_upto(dx + i, mul(set1(rstd), sub(scaled, along)), left);
  }
}

template <typename T>
void rms_norm_weight_gradient(float* dw, const T* dy, const T* x, int64_t num_columns, float rstd) {
  for (int64_t i = 0; i < num_columns; i += kLanes) {
    const int64_t left = num_columns - i;
    const F32x16 normalised = rounded<T>(mul(load_upto(x + i, left), set1(rstd)));
    store_upto(dw + i, fma(load_upto(dy + i, left), normalised, load_upto(dw + i, left)), left);
  }
}

template <typename T>
void swiglu(T* h, const T* gate, const T* up, int64_t num_columns) {
  for (int64_t i = 0; i < num_columns; i += kLanes) {
    const int64_t left = num_columns - i;
    const F32x16 g = load_upto(gate + i, left);
    const F32x16 silu = div(g, add(set1(1.0f), exp(sub(zero(), g))));
    store_upto(h + i, mul(silu, load_upto(up + i, left)), left);
  }
}

template <typename T>
void swiglu_backward(T* dgate, T* dup, const T* dh, const T* gate, const T* up, int64_t num_columns) {
  const F32x16 one = set1(1.0f);
  for (int64_t i = 0; i < num_columns; i += kLanes) {
    const int64_t left = num_columns - i;
    const F32x16 g = load_upto(gate + i, left), d = load_upto(dh + i, left), u = load_upto(up + i, left);
    const F32x16 s = sigmoid(g);
    // d silu(g) / dg = s (1 + g (1 - s))
    const F32x16 slope = mul(s, fma(g, sub(one, s), one));
    store_upto(dgate + i, mul(mul(d, u), slope), left);
    store_upto(dup + i, mul(d, mul(g, s)), left);
  }
}

template <typename T>
void copy_to_f32(float* to, const T* from, int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes) store_upto(to + i, load_upto(from + i, count - i), count - i);
}
template <typename T>
void copy_from_f32(T* to, const float* from, int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes) store_upto(to + i, load_upto(from + i, count - i), count - i);
}

void deinterleave_row(float* first, float* second, const float* pairs, int64_t num_pairs) {
  int64_t i = 0;
  for (; i + kLanes <= num_pairs; i += kLanes) {
    F32x16 a = load(pairs + 2 * i), b = load(pairs + 2 * i + kLanes);
    deinterleave(a, b);
    store(first + i, a);
    store(second + i, b);
  }
  for (; i < num_pairs; ++i) {
    first[i] = pairs[2 * i];
    second[i] = pairs[2 * i + 1];
  }
}

void interleave_row(float* pairs, const float* first, const float* second, int64_t num_pairs) {
  int64_t i = 0;
  for (; i + kLanes <= num_pairs; i += kLanes) {
    F32x16 a = load(first + i), b = load(second + i);
    interleave(a, b);
    store(pairs + 2 * i, a);
    store(pairs + 2 * i + kLanes, b);
  }
  for (; i < num_pairs; ++i) {
    pairs[2 * i] = first[i];
    pairs[2 * i + 1] = second[i];
  }
}

/// first' = first cos - second sin, second' = second cos + first sin; `inverse`: the transposed rotation.
void rotate(float* first, float* second, const float* cos, const float* sin, int64_t num_pairs,
            bool inverse) {
  for (int64_t i = 0; i < num_pairs; i += kLanes) {
    const int64_t left = num_pairs - i;
    const F32x16 a = load_upto(first + i, left), b = load_upto(second + i, left);
    const F32x16 c = load_upto(cos + i, left), s = load_upto(sin + i, left);
    const F32x16 signed_s = inverse ? sub(zero(), s) : s;
    store_upto(first + i, sub(mul(a, c), mul(b, signed_s)), left);
    store_upto(second + i, add(mul(b, c), mul(a, signed_s)), left);
  }
}

template <typename T>
void rotary(T* x, const float* cos, const float* sin, const RotaryLayout& layout) {
  float halves[2 * kMaxRotaryPairs], pairs[2 * kMaxRotaryPairs];
  const int64_t count = layout.num_pairs;
  float *first = halves, *second = halves + count;
  const bool pairs_in = layout.interleaved && !layout.inverse,
             pairs_out = layout.interleaved && layout.inverse;
  copy_to_f32(pairs_in ? pairs : halves, x, 2 * count);
  if (pairs_in) deinterleave_row(first, second, pairs, count);
  rotate(first, second, cos, sin, count, layout.inverse);
  if (pairs_out) interleave_row(pairs, first, second, count);
  copy_from_f32(x, pairs_out ? pairs : halves, 2 * count);
}

template <typename T>
void add_row(float* sum, const T* x, int64_t num_columns) {
  for (int64_t i = 0; i < num_columns; i += kLanes) {
    const int64_t left = num_columns - i;
    store_upto(sum + i, add(load_upto(sum + i, left), load_upto(x + i, left)), left);
  }
}

template <typename T>
void finish_row(T* out, const float* sum, const float* bias, int64_t num_columns) {
  for (int64_t i = 0; i < num_columns; i += kLanes) {
    const int64_t left = num_columns - i;
    const F32x16 value = load_upto(sum + i, left);
    store_upto(out + i, bias ? add(value, load_upto(bias + i, left)) : value, left);
  }
}

template <typename T>
constexpr RowTable<T> kTable{rms_norm<T>, rms_norm_backward<T>, rms_norm_weight_gradient<T>,
                             swiglu<T>,   swiglu_backward<T>,   rotary<T>,
                             add_row<T>,  finish_row<T>};

}  // namespace

const RowTable<float> kRowTableF32 = kTable<float>;
const RowTable<Bf16> kRowTableBf16 = kTable<Bf16>;

}  // namespace athanor::kernels::cpu::ATHANOR_ISA
