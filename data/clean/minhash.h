// MinHash signatures (Broder, 1997) of shingles of units, for locality-sensitive hashing in bands.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "configs/clean_config.h"
#include "data/clean/language.h"
#include "data/clean/units.h"

namespace athanor::clean {

/// What is kept of a document for finding its near duplicates.
struct Signature {
  std::vector<uint64_t> bands;  ///< one hash per band, of that band's minima
  std::vector<uint8_t> sketch;  ///< the lowest byte of each minimum: estimates similarity (b-bit MinHash)
};

/// Computes signatures; immutable, so one serves all threads.
class MinHasher {
 public:
  /// Memory reused from text to text; one per thread.
  struct Scratch {
    std::vector<uint64_t> units;
    std::vector<uint32_t> shingles, minima;
  };

  explicit MinHasher(const configs::CleanDuplicates& options);

  /// A text without a unit gets the signature of the empty set, equal for all such texts.
  void sign(std::string_view text, const Units& units, Language language, Scratch& scratch,
            Signature& signature) const;

  /// The minima of bands x rows hash functions over 32-bit shingle hashes; padded to a multiple of 16.
  void minima(std::span<const uint32_t> shingles, std::vector<uint32_t>& minima) const;

  size_t num_hashes() const { return num_hashes_; }

 private:
  void collect_units(std::string_view text, const Units& units, Language language,
                     std::vector<uint64_t>& out) const;
  void make_shingles(Scratch& scratch) const;

  configs::CleanDuplicates options_;
  size_t num_hashes_;
  std::vector<uint32_t> multipliers_, addends_;
};

/// Estimates the Jaccard similarity of two sets from their sketches (Li and König, 2010: b = 8).
double estimate_similarity(std::span<const uint8_t> a, std::span<const uint8_t> b);

}  // namespace athanor::clean
