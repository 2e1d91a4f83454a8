#include "core/rng.h"

#include <bit>
#include <cmath>
#include <numbers>
#include <xxhash.h>

#include "core/error.h"

namespace athanor::core {
namespace {

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, uint64_t key) {
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * counter[0], p1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ k0, static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return counter;
}

}  // namespace

CounterRng::CounterRng(uint64_t seed, std::string_view name)
    : key_(seed), stream_(XXH64(name.data(), name.size(), 0)) {}

std::array<uint32_t, 4> CounterRng::words(uint64_t index) const {
  return philox4x32({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
                     static_cast<uint32_t>(stream_), static_cast<uint32_t>(stream_ >> 32)},
                    key_);
}

uint64_t CounterRng::bits(uint64_t index) const {
  const auto w = words(index);
  return (uint64_t{w[1]} << 32) | w[0];
}

double CounterRng::uniform(uint64_t index) const {
  return static_cast<double>(bits(index) >> 11) * 0x1p-53;
}

double CounterRng::normal(uint64_t index) const {
  const auto w = words(index);
  const double u = (static_cast<double>(w[0]) + 1.0) * 0x1p-32;  // (0, 1]: the logarithm stays finite
  const double angle = 2.0 * std::numbers::pi * static_cast<double>(w[1]) * 0x1p-32;
  return std::sqrt(-2.0 * std::log(u)) * std::cos(angle);
}

uint64_t CounterRng::below(uint64_t index, uint64_t bound) const {
  ATHANOR_CHECK(bound > 0, "a random integer below 0 was asked for");
  return static_cast<uint64_t>((static_cast<unsigned __int128>(bits(index)) * bound) >> 64);
}

RandomPermutation::RandomPermutation(uint64_t size, uint64_t seed, std::string_view name)
    : rng_(seed, name), size_(size), half_bits_((std::bit_width(size - 1) + 1) / 2) {
  ATHANOR_CHECK(size > 0, "a permutation of nothing was asked for");
  if (half_bits_ == 0) half_bits_ = 1;
}

uint64_t RandomPermutation::at(uint64_t index) const {
  ATHANOR_CHECK(index < size_, "index {} of a permutation of {}", index, size_);
  uint64_t value = scramble(index);
  while (value >= size_) value = scramble(value);
  return value;
}

uint64_t RandomPermutation::index_of(uint64_t value) const {
  ATHANOR_CHECK(value < size_, "value {} of a permutation of {}", value, size_);
  uint64_t index = unscramble(value);
  while (index >= size_) index = unscramble(index);
  return index;
}

uint64_t RandomPermutation::scramble(uint64_t value) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  uint64_t left = value >> half_bits_, right = value & mask;
  for (uint64_t round = 0; round < 4; ++round) {
    const uint64_t mixed = left ^ (rng_.bits((round << 56) | right) & mask);
    left = right;
    right = mixed;
  }
  return (left << half_bits_) | right;
}

uint64_t RandomPermutation::unscramble(uint64_t value) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  uint64_t left = value >> half_bits_, right = value & mask;
  for (uint64_t round = 4; round-- > 0;) {
    const uint64_t unmixed = right ^ (rng_.bits((round << 56) | left) & mask);
    right = left;
    left = unmixed;
  }
  return (left << half_bits_) | right;
}

}  // namespace athanor::core
