#include "data/tokenizer/word_counts.h"

#include <cstring>
#include <functional>

#include "core/parallel_for.h"
#include "data/tokenizer/flat_map.h"
#include "data/tokenizer/utf8.h"

namespace athanor::data::tokenizer {
namespace {

// Per distinct word: its entry and slots; per byte of it: the byte, its symbol, its place in the list of its
// pair, and a share of the pair table.
constexpr uint64_t kBytesPerWord = 48, kBytesPerWordByte = 20;

struct ReductionStep {
  uint64_t max_count;     ///< words that occur more often stay as they are
  size_t max_characters;  ///< 0: drop the word
};

constexpr ReductionStep kCutSteps[] = {{1, 32}, {1, 16}, {1, 8}, {1, 4}, {4, 16}, {4, 8},
                                       {4, 4},  {1, 2},  {1, 1}, {4, 2}, {4, 1}};

size_t shard_of(uint64_t hash) {
  return hash >> 60;
}

void cut_word(std::string_view word, size_t max_characters,
              const std::function<void(std::string_view)>& add) {
  size_t begin = 0, num_characters = 0;
  for (size_t at = 1; at <= word.size(); ++at) {
    if (at < word.size() && is_continuation_byte(word[at])) continue;
    if (++num_characters % max_characters != 0 && at != word.size()) continue;
    add(word.substr(begin, at - begin));
    begin = at;
  }
}

size_t num_characters(std::string_view word) {
  size_t count = 0;
  for (const char byte : word) count += !is_continuation_byte(byte);
  return count;
}

// One step on all shards. Parts of a word may belong to another shard, so new shards are filled by one
// thread.
Reduction apply_step(WordCounts& counts, const ReductionStep& step) {
  Reduction reduction;
  WordCounts reduced;
  for (size_t s = 0; s < WordCounts::kNumShards; ++s) {
    const WordTable& table = counts.shard(s);
    for (size_t i = 0; i < table.num_words(); ++i) {
      const std::string_view word = table.word(i);
      const uint64_t count = table.count(i);
      if (count > step.max_count) {
        reduced.add(word, count);
      } else if (step.max_characters == 0) {
        ++reduction.num_dropped_words;
        reduction.dropped_count += count;
      } else if (num_characters(word) <= step.max_characters) {
        reduced.add(word, count);
      } else {
        ++reduction.num_cut_words;
        cut_word(word, step.max_characters, [&](std::string_view part) { reduced.add(part, count); });
      }
    }
    counts.shard(s) = WordTable();
  }
  counts = std::move(reduced);
  return reduction;
}

}  // namespace

uint64_t WordTable::hash(size_t i) const {
  return hash_bytes(word(i).data(), word(i).size());
}

void WordTable::add(std::string_view word, uint64_t hash, uint64_t count) {
  if (2 * (entries_.size() + 1) > slots_.size()) grow();
  uint32_t& found = slot(word, hash);
  if (found != 0) {
    entries_[found - 1].count += count;
    return;
  }
  entries_.push_back({bytes_.size(), count, static_cast<uint32_t>(word.size()), static_cast<uint32_t>(hash)});
  bytes_.insert(bytes_.end(), word.begin(), word.end());
  found = static_cast<uint32_t>(entries_.size());
}

uint32_t& WordTable::slot(std::string_view text, uint64_t hash) {
  const size_t mask = slots_.size() - 1;
  size_t i = static_cast<uint32_t>(hash) & mask;
  for (; slots_[i] != 0; i = (i + 1) & mask) {
    const Entry& entry = entries_[slots_[i] - 1];
    if (entry.hash == static_cast<uint32_t>(hash) && entry.num_bytes == text.size() &&
        std::memcmp(bytes_.data() + entry.begin, text.data(), text.size()) == 0)
      break;
  }
  return slots_[i];
}

void WordTable::grow() {
  slots_.assign(slots_.empty() ? 1024 : 2 * slots_.size(), 0);
  const size_t mask = slots_.size() - 1;
  for (size_t e = 0; e < entries_.size(); ++e) {
    size_t i = entries_[e].hash & mask;
    while (slots_[i] != 0) i = (i + 1) & mask;
    slots_[i] = static_cast<uint32_t>(e + 1);
  }
}

void WordCounts::add(std::string_view word, uint64_t count) {
  const uint64_t hash = hash_bytes(word.data(), word.size());
  shards_[shard_of(hash)].add(word, hash, count);
}

void WordCounts::add_shard(size_t i, const WordTable& other) {
  for (size_t w = 0; w < other.num_words(); ++w) shards_[i].add(other.word(w), other.hash(w), other.count(w));
}

uint64_t WordCounts::num_words() const {
  uint64_t total = 0;
  for (const auto& shard : shards_) total += shard.num_words();
  return total;
}

uint64_t WordCounts::num_bytes() const {
  uint64_t total = 0;
  for (const auto& shard : shards_) total += shard.num_bytes();
  return total;
}

uint64_t training_memory_bytes(const WordCounts& counts) {
  return kBytesPerWord * counts.num_words() + kBytesPerWordByte * counts.num_bytes();
}

Reduction reduce_word_counts(WordCounts& counts, uint64_t target_bytes) {
  Reduction total;
  const auto apply = [&](const ReductionStep& step) {
    const Reduction part = apply_step(counts, step);
    total.num_cut_words += part.num_cut_words;
    total.num_dropped_words += part.num_dropped_words;
    total.dropped_count += part.dropped_count;
  };
  for (const auto& step : kCutSteps) {
    if (training_memory_bytes(counts) <= target_bytes) return total;
    apply(step);
  }
  for (uint64_t rare = 1; training_memory_bytes(counts) > target_bytes && counts.num_words() > 0; rare *= 2)
    apply({rare, 0});
  return total;
}

}  // namespace athanor::data::tokenizer
