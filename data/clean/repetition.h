// How much of a text repeats itself: lines, paragraphs and n-grams, counted by hash over places in the text.
#pragma once

#include <cstdint>
#include <vector>

#include "data/clean/lines.h"
#include "data/clean/units.h"

namespace athanor::clean {

/// An open-addressing table of 64-bit keys with a count each, emptied in constant time. Deterministic.
class HashCounter {
 public:
  /// Empties the table and makes room for `num_keys`.
  void reset(size_t num_keys);
  /// How often `key` has been added before this call.
  uint32_t add(uint64_t key);

 private:
  struct Slot {
    uint64_t key;
    uint32_t generation;
    uint32_t count;
  };
  std::vector<Slot> slots_;
  size_t mask_ = 0;
  uint32_t generation_ = 0;
};

struct DuplicateShare {
  double items = 0;  ///< share of items that occurred before
  double chars = 0;  ///< share of characters in them
};

/// Memory for the functions below, reused from text to text; one per thread.
struct RepetitionScratch {
  HashCounter counter;
  std::vector<uint64_t> prefix_hash;
};

DuplicateShare duplicate_lines(const Lines& lines, RepetitionScratch& scratch);
DuplicateShare duplicate_paragraphs(const Lines& lines, RepetitionScratch& scratch);

/// N-grams over the units of a text, by rolling hash. `units` must outlive it.
class Ngrams {
 public:
  Ngrams(const Units& units, RepetitionScratch& scratch);

  /// Characters of the most frequent window of `width` units times its occurrences, as a share of all
  /// characters (of several equally frequent, the first to reach the number).
  double top_share(size_t width);

  /// Characters in windows seen before (each counted where the walk meets it, then skipped) as a share of
  /// all.
  double duplicate_share(size_t width);

  /// Share of all windows that were seen before.
  double repeated_windows(size_t width);

 private:
  size_t num_windows(size_t width) const;
  uint64_t hash(size_t begin, size_t width, uint64_t power) const;
  uint32_t num_chars(size_t begin, size_t width) const;

  const Units& units_;
  RepetitionScratch& scratch_;
};

/// The width in units of an n-gram of `n` words: n, or 1.6 n rounded where units are Chinese characters.
size_t window_width(size_t n, bool is_chinese);

}  // namespace athanor::clean
