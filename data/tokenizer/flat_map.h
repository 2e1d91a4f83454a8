// A hash map from 64-bit keys to small values: open addressing, linear probing, at most half full. Merge
// look-ups are the inner loop of encoding and training, where std::unordered_map is several times slower.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace athanor::data::tokenizer {

/// The key ~0 is reserved. Pointers to values stay valid until the next insertion.
template <typename Value>
class FlatMap {
 public:
  FlatMap() : slots_(kMinSlots), shift_(64 - kMinBits) {}

  size_t size() const { return size_; }
  size_t memory_bytes() const { return slots_.capacity() * sizeof(Slot); }

  const Value* find(uint64_t key) const {
    for (size_t i = start(key);; i = (i + 1) & (slots_.size() - 1)) {
      if (slots_[i].key == key) return &slots_[i].value;
      if (slots_[i].key == kEmpty) return nullptr;
    }
  }
  Value* find(uint64_t key) { return const_cast<Value*>(static_cast<const FlatMap*>(this)->find(key)); }

  /// The value of `key`, value-initialised when it was not there.
  Value& operator[](uint64_t key) {
    if (2 * (size_ + 1) > slots_.size()) grow();
    Slot& slot = free_or_equal(key);
    if (slot.key == kEmpty) {
      slot.key = key;
      ++size_;
    }
    return slot.value;
  }

  /// Calls visit(key, value) for every entry, in no particular order.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (const Slot& slot : slots_)
      if (slot.key != kEmpty) visit(slot.key, slot.value);
  }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  static constexpr int kMinBits = 4;
  static constexpr size_t kMinSlots = size_t{1} << kMinBits;
  struct Slot {
    uint64_t key = kEmpty;
    Value value{};
  };

  size_t start(uint64_t key) const { return static_cast<size_t>((key * 0x9E3779B97F4A7C15ULL) >> shift_); }

  Slot& free_or_equal(uint64_t key) {
    size_t i = start(key);
    while (slots_[i].key != key && slots_[i].key != kEmpty) i = (i + 1) & (slots_.size() - 1);
    return slots_[i];
  }

  void grow() {
    std::vector<Slot> old(2 * slots_.size());
    old.swap(slots_);
    --shift_;
    for (const Slot& slot : old)
      if (slot.key != kEmpty) free_or_equal(slot.key) = slot;
  }

  std::vector<Slot> slots_;
  int shift_;
  size_t size_ = 0;
};

/// Two ids as one key.
inline uint64_t pair_key(uint32_t left, uint32_t right) {
  return uint64_t{left} << 32 | right;
}

/// A hash of bytes, for tables in memory only: it differs between byte orders.
inline uint64_t hash_bytes(const char* bytes, size_t size) {
  constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15ULL;
  const auto mix = [](uint64_t hash, uint64_t word) {
    const auto product = static_cast<unsigned __int128>(hash ^ word) * kMultiplier;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  };
  uint64_t hash = 0x243F6A8885A308D3ULL ^ size, word;
  for (; size > 8; bytes += 8, size -= 8) {
    __builtin_memcpy(&word, bytes, 8);
    hash = mix(hash, word);
  }
  word = 0;
  __builtin_memcpy(&word, bytes, size);
  return mix(mix(hash, word), kMultiplier);
}

}  // namespace athanor::data::tokenizer
