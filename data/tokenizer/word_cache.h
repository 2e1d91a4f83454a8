// Remembers the ids of words: texts repeat their words, and a look-up is much cheaper than merging again.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <vector>

namespace athanor::data::tokenizer {

/// From words to id lists. Bounded: when full it starts again from nothing. Used by one thread at a time.
class WordCache {
 public:
  static constexpr size_t kMaxWordBytes = 128;

  WordCache();
  /// Null data() when `word` is not there. The result is valid until the next `insert`.
  std::span<const uint32_t> find(std::string_view word, uint64_t hash) const;
  /// Requires 0 < word.size() <= kMaxWordBytes, ids not empty, and that the word is not there.
  void insert(std::string_view word, uint64_t hash, std::span<const uint32_t> ids);

 private:
  static constexpr size_t kMinSlots = size_t{1} << 10, kMaxSlots = size_t{1} << 18;
  struct Slot {
    uint64_t hash = 0;
    uint32_t bytes_begin = 0, ids_begin = 0;
    uint16_t num_bytes = 0, num_ids = 0;  ///< num_bytes 0: free
  };
  void grow_or_clear();
  Slot& free_slot(uint64_t hash);

  std::vector<Slot> slots_;
  size_t size_ = 0;
  std::vector<char> bytes_;
  std::vector<uint32_t> ids_;
};

/// Caches that wait for their next user. Thread-safe.
class WordCachePool {
 public:
  /// A cache for the calling thread alone; goes back to the pool when the handle ends.
  class Lease {
   public:
    explicit Lease(WordCachePool& pool) : pool_(pool), cache_(pool.take()) {}
    ~Lease() { pool_.give_back(std::move(cache_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    WordCache& operator*() { return *cache_; }

   private:
    WordCachePool& pool_;
    std::unique_ptr<WordCache> cache_;
  };

 private:
  std::unique_ptr<WordCache> take();
  void give_back(std::unique_ptr<WordCache> cache);

  std::mutex mutex_;
  std::vector<std::unique_ptr<WordCache>> waiting_;
};

}  // namespace athanor::data::tokenizer
