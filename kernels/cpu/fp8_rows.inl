// E4M3 codes of stretches of one row, compiled once per instruction set.
#include "kernels/cpu/fp8_rows.h"
#include "kernels/cpu/simd_fp8.h"

namespace athanor::kernels::cpu::ATHANOR_ISA {
namespace {

template <typename T>
float largest_magnitude(const T* x, int64_t count) {
  Magnitudes largest = no_magnitude();
  for (int64_t i = 0; i < count; i += kLanes) largest = larger(largest, load_upto(x + i, count - i));
  int32_t lanes[kLanes], top = 0;
  float stored[kLanes];
  store(stored, largest);
  memcpy(lanes, stored, sizeof(lanes));
  for (const int32_t lane : lanes) top = lane > top ? lane : top;
  float value;
  memcpy(&value, &top, sizeof(value));
  return value;
}

template <typename T>
void raise_magnitudes(float* largest, const T* x, int64_t count) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    store(largest + i, larger(larger(no_magnitude(), load(largest + i)), load(x + i)));
  if (i == count) return;
  float raised[kLanes];
  const int64_t left = count - i;
  store(raised, larger(larger(no_magnitude(), load_first(largest + i, left)), load_first(x + i, left)));
  memcpy(largest + i, raised, sizeof(float) * static_cast<size_t>(left));
}

// One scale for all elements, or one for each.
struct Same {
  F32x16 value;
  ATHANOR_INLINE F32x16 at(const Same& all, int64_t, int64_t) { return all.value; }
};
struct Each {
  const float* values;
  ATHANOR_INLINE F32x16 at(const Each& all, int64_t i, int64_t left) {
    return load_upto(all.values + i, left);
  }
};

template <typename T, typename Scales>
ATHANOR_INLINE void encode_with(uint8_t* codes, const T* x, const Scales& factors, int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const int64_t left = count - i;
    store_e4m3_upto(codes + i, mul(load_upto(x + i, left), Scales::at(factors, i, left)), left);
  }
}
template <typename T, typename Scales>
ATHANOR_INLINE void decode_with(T* out, const uint8_t* codes, const Scales& scales, int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const int64_t left = count - i;
    store_upto(out + i, mul(load_e4m3_upto(codes + i, left), Scales::at(scales, i, left)), left);
  }
}
template <typename T, typename Scales>
ATHANOR_INLINE void round_with(Bf16* out, const T* x, const Scales& factors, const Scales& scales,
                               int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const int64_t left = count - i;
    const F32x16 value = round_to_e4m3(mul(load_upto(x + i, left), Scales::at(factors, i, left)));
    store_upto(out + i, mul(value, Scales::at(scales, i, left)), left);
  }
}

template <typename T>
void encode(uint8_t* codes, const T* x, float factor, int64_t count) {
  encode_with(codes, x, Same{set1(factor)}, count);
}
template <typename T>
void encode_each(uint8_t* codes, const T* x, const float* factors, int64_t count) {
  encode_with(codes, x, Each{factors}, count);
}
template <typename T>
void decode(T* out, const uint8_t* codes, float scale, int64_t count) {
  decode_with(out, codes, Same{set1(scale)}, count);
}
template <typename T>
void decode_each(T* out, const uint8_t* codes, const float* scales, int64_t count) {
  decode_with(out, codes, Each{scales}, count);
}
template <typename T>
void round(Bf16* out, const T* x, float factor, float scale, int64_t count) {
  round_with(out, x, Same{set1(factor)}, Same{set1(scale)}, count);
}
template <typename T>
void round_each(Bf16* out, const T* x, const float* factors, const float* scales, int64_t count) {
  round_with(out, x, Each{factors}, Each{scales}, count);
}

void add_scaled_row(float* sum, const float* part, float factor, const float* factors, int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const int64_t left = count - i;
    const F32x16 scale = mul(set1(factor), load_upto(factors + i, left));
    store_upto(sum + i, fma(load_upto(part + i, left), scale, load_upto(sum + i, left)), left);
  }
}

template <typename T>
constexpr Fp8Table<T> kTable{
    largest_magnitude<T>, raise_magnitudes<T>, encode<T>, encode_each<T>, decode<T>, decode_each<T>, round<T>,
    round_each<T>};

}  // namespace

const Fp8Table<float> kFp8TableF32 = kTable<float>;
const Fp8Table<Bf16> kFp8TableBf16 = kTable<Bf16>;
const AddScaled kAddScaled = add_scaled_row;

}  // namespace athanor::kernels::cpu::ATHANOR_ISA
