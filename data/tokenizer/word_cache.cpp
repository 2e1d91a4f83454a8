#include "data/tokenizer/word_cache.h"

#include <cstring>

namespace athanor::data::tokenizer {

WordCache::WordCache() : slots_(kMinSlots) {}

std::span<const uint32_t> WordCache::find(std::string_view word, uint64_t hash) const {
  for (size_t i = hash & (slots_.size() - 1); slots_[i].num_bytes != 0; i = (i + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[i];
    if (slot.hash == hash && slot.num_bytes == word.size() &&
        std::memcmp(bytes_.data() + slot.bytes_begin, word.data(), word.size()) == 0)
      return {ids_.data() + slot.ids_begin, slot.num_ids};
  }
  return {};
}

void WordCache::insert(std::string_view word, uint64_t hash, std::span<const uint32_t> ids) {
  if (2 * (size_ + 1) > slots_.size()) grow_or_clear();
  free_slot(hash) = {hash, static_cast<uint32_t>(bytes_.size()), static_cast<uint32_t>(ids_.size()),
                     static_cast<uint16_t>(word.size()), static_cast<uint16_t>(ids.size())};
  ++size_;
  bytes_.insert(bytes_.end(), word.begin(), word.end());
  ids_.insert(ids_.end(), ids.begin(), ids.end());
}

WordCache::Slot& WordCache::free_slot(uint64_t hash) {
  size_t i = hash & (slots_.size() - 1);
  while (slots_[i].num_bytes != 0) i = (i + 1) & (slots_.size() - 1);
  return slots_[i];
}

void WordCache::grow_or_clear() {
  if (slots_.size() == kMaxSlots) {
    slots_.assign(kMaxSlots, {});
    bytes_.clear();
    ids_.clear();
    size_ = 0;
    return;
  }
  std::vector<Slot> old(2 * slots_.size());
  old.swap(slots_);
  for (const Slot& slot : old)
    if (slot.num_bytes != 0) free_slot(slot.hash) = slot;
}

std::unique_ptr<WordCache> WordCachePool::take() {
  const std::lock_guard lock(mutex_);
  if (waiting_.empty()) return std::make_unique<WordCache>();
  auto cache = std::move(waiting_.back());
  waiting_.pop_back();
  return cache;
}

void WordCachePool::give_back(std::unique_ptr<WordCache> cache) {
  const std::lock_guard lock(mutex_);
  waiting_.push_back(std::move(cache));
}

}  // namespace athanor::data::tokenizer
