#include "data/tokenizer/symbol_merger.h"

#include <algorithm>
#include <array>
#include <functional>
#include <queue>

namespace athanor::data::tokenizer {
namespace {

constexpr uint32_t kNoMerge = ~uint32_t{0};

// Up to this many symbols, looking through all ranks again beats keeping a heap.
constexpr size_t kMaxScannedSymbols = 64;

void merge_by_scanning(const MergeMap& merges, std::vector<uint32_t>& ids, size_t begin) {
  uint32_t* symbols = ids.data() + begin;
  size_t count = ids.size() - begin;
  std::array<Merge, kMaxScannedSymbols> next;  // next[i]: the merge of symbols i and i + 1
  const auto look_up = [&](size_t i) {
    const Merge* merge = merges.find(pair_key(symbols[i], symbols[i + 1]));
    next[i] = merge ? *merge : Merge{kNoMerge, 0};
  };
  for (size_t i = 0; i + 1 < count; ++i) look_up(i);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i)
      if (next[i].rank < next[best].rank) best = i;
    if (next[best].rank == kNoMerge) break;
    symbols[best] = next[best].new_id;
    std::copy(symbols + best + 2, symbols + count, symbols + best + 1);
    std::copy(next.begin() + static_cast<ptrdiff_t>(best) + 1,
              next.begin() + static_cast<ptrdiff_t>(count) - 1, next.begin() + static_cast<ptrdiff_t>(best));
    --count;
    if (best > 0) look_up(best - 1);
    if (best + 1 < count) look_up(best);
  }
  ids.resize(begin + count);
}

// A linked list of symbols with a heap of possible merges; entries that a later merge made void are skipped.
class HeapMerger {
 public:
  HeapMerger(const MergeMap& merges, std::vector<uint32_t>& ids, size_t begin)
      : merges_(merges), ids_(ids), begin_(begin) {}

  void run() {
    const auto count = static_cast<uint32_t>(ids_.size() - begin_);
    symbols_.resize(count);
    for (uint32_t i = 0; i < count; ++i)
      symbols_[i] = {ids_[begin_ + i], i == 0 ? kNone : i - 1, i + 1 < count ? i + 1 : kNone};
    for (uint32_t i = 0; i + 1 < count; ++i) push(i);
    while (!heap_.empty()) {
      const Candidate top = heap_.top();
      heap_.pop();
      if (is_current(top)) apply(top.position, top.new_id);
    }
    write_back();
  }

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};
  struct Symbol {
    uint32_t id;  ///< kNone: merged into the one on its left
    uint32_t previous, next;
  };
  struct Candidate {
    uint32_t rank, position, new_id;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };

  const Merge* merge_at(uint32_t position) const {
    const Symbol& left = symbols_[position];
    if (left.id == kNone || left.next == kNone) return nullptr;
    return merges_.find(pair_key(left.id, symbols_[left.next].id));
  }

  void push(uint32_t position) {
    if (const Merge* merge = merge_at(position)) heap_.push({merge->rank, position, merge->new_id});
  }

  bool is_current(const Candidate& candidate) const {
    const Merge* merge = merge_at(candidate.position);
    return merge && merge->rank == candidate.rank;
  }

  void apply(uint32_t position, uint32_t new_id) {
    Symbol& left = symbols_[position];
    Symbol& right = symbols_[left.next];
    left.id = new_id;
    right.id = kNone;
    left.next = right.next;
    if (left.next != kNone) symbols_[left.next].previous = position;
    if (left.previous != kNone) push(left.previous);
    push(position);
  }

  void write_back() {
    size_t out = begin_;
    for (const Symbol& symbol : symbols_)
      if (symbol.id != kNone) ids_[out++] = symbol.id;
    ids_.resize(out);
  }

  const MergeMap& merges_;
  std::vector<uint32_t>& ids_;
  size_t begin_;
  std::vector<Symbol> symbols_;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> heap_;
};

}  // namespace

void merge_symbols(const MergeMap& merges, std::vector<uint32_t>& ids, size_t begin) {
  if (ids.size() - begin <= kMaxScannedSymbols)
    merge_by_scanning(merges, ids, begin);
  else
    HeapMerger(merges, ids, begin).run();
}

}  // namespace athanor::data::tokenizer
