// The inner loop of MinHash, compiled once per instruction set and chosen at run time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace athanor::clean {

/// minima[i] = min over shingles s of (s * multipliers[i] + addends[i]) mod 2^32, or 2^32 - 1 without
/// shingles. Requires equal sizes of the three, a multiple of 16. The result is the same on every machine.
void min_hash_kernel(std::span<const uint32_t> shingles, std::span<const uint32_t> multipliers,
                     std::span<const uint32_t> addends, std::span<uint32_t> minima);

}  // namespace athanor::clean
