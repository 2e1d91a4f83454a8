// Highway compiles this file once per instruction set; the first include below does it.
#include "data/clean/minhash_kernel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "data/clean/minhash_kernel.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace athanor::clean::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::CappedTag<uint32_t, 16>;
using Vector = hn::Vec<Tag>;

// Two vectors of hash functions at a time stay in registers over all shingles.
void min_of_two(const uint32_t* shingles, size_t num_shingles, const uint32_t* multipliers,
                const uint32_t* addends, uint32_t* minima) {
  const Tag d;
  const size_t lanes = hn::Lanes(d);
  const Vector m0 = hn::LoadU(d, multipliers), m1 = hn::LoadU(d, multipliers + lanes);
  const Vector a0 = hn::LoadU(d, addends), a1 = hn::LoadU(d, addends + lanes);
  Vector min0 = hn::Set(d, 0xFFFFFFFF), min1 = min0;
  for (size_t i = 0; i < num_shingles; ++i) {
    const Vector shingle = hn::Set(d, shingles[i]);
    min0 = hn::Min(min0, hn::Add(hn::Mul(shingle, m0), a0));
    min1 = hn::Min(min1, hn::Add(hn::Mul(shingle, m1), a1));
  }
  hn::StoreU(min0, d, minima);
  hn::StoreU(min1, d, minima + lanes);
}

void min_of_one(const uint32_t* shingles, size_t num_shingles, const uint32_t* multipliers,
                const uint32_t* addends, uint32_t* minima) {
  const Tag d;
  const Vector m = hn::LoadU(d, multipliers), a = hn::LoadU(d, addends);
  Vector min = hn::Set(d, 0xFFFFFFFF);
  for (size_t i = 0; i < num_shingles; ++i)
    min = hn::Min(min, hn::Add(hn::Mul(hn::Set(d, shingles[i]), m), a));
  hn::StoreU(min, d, minima);
}

void min_hash(const uint32_t* shingles, size_t num_shingles, const uint32_t* multipliers,
              const uint32_t* addends, uint32_t* minima, size_t num_hashes) {
  const size_t lanes = hn::Lanes(Tag());
  size_t i = 0;
  for (; i + 2 * lanes <= num_hashes; i += 2 * lanes)
    min_of_two(shingles, num_shingles, multipliers + i, addends + i, minima + i);
  for (; i < num_hashes; i += lanes)
    min_of_one(shingles, num_shingles, multipliers + i, addends + i, minima + i);
}

}  // namespace athanor::clean::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "core/error.h"

namespace athanor::clean {

HWY_EXPORT(min_hash);

void min_hash_kernel(std::span<const uint32_t> shingles, std::span<const uint32_t> multipliers,
                     std::span<const uint32_t> addends, std::span<uint32_t> minima) {
  ATHANOR_CHECK(
      minima.size() % 16 == 0 && multipliers.size() == minima.size() && addends.size() == minima.size(),
      "{} hash functions, {} and {} constants: equal multiples of 16 were expected", minima.size(),
      multipliers.size(), addends.size());
  HWY_DYNAMIC_DISPATCH(min_hash)
  (shingles.data(), shingles.size(), multipliers.data(), addends.data(), minima.data(), minima.size());
}

}  // namespace athanor::clean
#endif
