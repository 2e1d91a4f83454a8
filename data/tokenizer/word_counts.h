// How often each word (pre-token, as raw bytes) occurs in the training texts, in bounded memory.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace athanor::data::tokenizer {

/// Words and their counts: one table. Not thread-safe.
class WordTable {
 public:
  void add(std::string_view word, uint64_t hash, uint64_t count);
  size_t num_words() const { return entries_.size(); }
  uint64_t num_bytes() const { return bytes_.size(); }
  std::string_view word(size_t i) const { return {bytes_.data() + entries_[i].begin, entries_[i].num_bytes}; }
  uint64_t count(size_t i) const { return entries_[i].count; }
  uint64_t hash(size_t i) const;

 private:
  struct Entry {
    uint64_t begin, count;
    uint32_t num_bytes, hash;
  };
  void grow();
  uint32_t& slot(std::string_view word, uint64_t hash);

  std::vector<Entry> entries_;
  std::vector<uint32_t> slots_;  ///< index of an entry + 1; 0: free
  std::vector<char> bytes_;
};

/// Word counts split by hash into shards, so that threads can each work on their own.
class WordCounts {
 public:
  static constexpr size_t kNumShards = 16;

  void add(std::string_view word, uint64_t count = 1);
  WordTable& shard(size_t i) { return shards_[i]; }
  const WordTable& shard(size_t i) const { return shards_[i]; }
  uint64_t num_words() const;
  uint64_t num_bytes() const;

  /// Adds the counts of shard `i` of `other`.
  void add_shard(size_t i, const WordTable& other);

 private:
  std::array<WordTable, kNumShards> shards_;
};

/// Memory that training on these words takes at its peak, in bytes.
uint64_t training_memory_bytes(const WordCounts& counts);

/// What was given up to stay within a memory limit.
struct Reduction {
  uint64_t num_cut_words = 0;      ///< rare long words that were cut into shorter ones
  uint64_t num_dropped_words = 0;  ///< distinct words that were dropped
  uint64_t dropped_count = 0;      ///< their occurrences
};

/// Brings the memory of `counts` below `target_bytes` in steps: first words that occur once are cut into
/// parts of at most 32, 16, 8, 4 characters (the runs of a language without spaces, whose parts repeat where
/// the whole never does), then words that occur up to 4 times, then into pairs and single characters; at last
/// the rarest words are dropped. Which words depends on the counts only.
Reduction reduce_word_counts(WordCounts& counts, uint64_t target_bytes);

}  // namespace athanor::data::tokenizer
