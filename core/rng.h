// Counter-based random numbers: the value at (seed, name, index) is a pure function of the three, so that
// initialisation, shuffling and dropout do not depend on the layout, on the number of threads or on the order
// of calls.
//
// The generator is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace athanor::core {

/// One stream of random numbers. `name` separates uses ("init/model.layers.0.mlp.gate", "shuffle/epoch-3").
class CounterRng {
 public:
  CounterRng(uint64_t seed, std::string_view name);

  /// Four independent 32-bit words at counter `index`.
  std::array<uint32_t, 4> words(uint64_t index) const;

  /// 64 random bits belonging to `index`.
  uint64_t bits(uint64_t index) const;

  /// Uniform in [0, 1), 53 bits.
  double uniform(uint64_t index) const;

  /// Standard normal (Box-Muller on two of the words at `index`).
  double normal(uint64_t index) const;

  /// Uniform integer in [0, bound), without modulo bias worth the name (128-bit multiply). Requires bound >
  /// 0.
  uint64_t below(uint64_t index, uint64_t bound) const;

 private:
  uint64_t key_;
  uint64_t stream_;
};

/// A bijection of [0, size) keyed by (seed, name): a shuffle that needs no memory. `at(i)` costs a few Philox
/// calls. A four-round Feistel network over the next even power of two, walking cycles back into the range.
class RandomPermutation {
 public:
  /// Requires size > 0.
  RandomPermutation(uint64_t size, uint64_t seed, std::string_view name);
  /// Requires index < size.
  uint64_t at(uint64_t index) const;
  /// The way back: at(index_of(value)) == value. Requires value < size.
  uint64_t index_of(uint64_t value) const;
  uint64_t size() const { return size_; }

 private:
  uint64_t scramble(uint64_t value) const;
  uint64_t unscramble(uint64_t value) const;

  CounterRng rng_;
  uint64_t size_;
  int half_bits_;
};

}  // namespace athanor::core
