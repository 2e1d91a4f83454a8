#include "data/tokenizer/merge_trainer.h"

#include <algorithm>
#include <array>
#include <queue>
#include <unordered_map>
#include <utility>

#include "core/error.h"
#include "data/tokenizer/byte_alphabet.h"
#include "data/tokenizer/flat_map.h"

namespace athanor::data::tokenizer {
namespace {

constexpr uint32_t kBoundary = ~uint32_t{0};  // stands between two words
constexpr uint32_t kInside = kBoundary - 1;   // not the first or last byte of a symbol

// All distinct words behind one another, one slot per byte. A symbol's id stands in the slots of its first
// and of its last byte, so that both neighbours of any symbol are found without links.
class SymbolText {
 public:
  SymbolText(const WordCounts& counts, const std::array<uint32_t, 256>& id_of_byte) {
    if (counts.num_bytes() + counts.num_words() >= kInside)
      throw core::DataError(
          "the distinct words have {} bytes, more than training can hold; lower the memory limit",
          counts.num_bytes());
    slots_.reserve(counts.num_bytes() + counts.num_words() + 1);
    slots_.push_back(kBoundary);
    for (size_t s = 0; s < WordCounts::kNumShards; ++s)
      for (size_t i = 0; i < counts.shard(s).num_words(); ++i) {
        add_word(counts.shard(s).word(i), id_of_byte);
        weights_.push_back(counts.shard(s).count(i));
      }
    word_begins_.push_back(static_cast<uint32_t>(slots_.size()));
    index_blocks();
  }

  uint32_t size() const { return static_cast<uint32_t>(slots_.size()); }
  uint32_t operator[](uint32_t position) const { return slots_[position]; }

  // How often the word at `position` occurs.
  uint64_t weight(uint32_t position) const {
    uint32_t word = first_word_of_block_[position >> kBlockBits];
    while (word_begins_[word + 1] <= position) ++word;
    return weights_[word];
  }

  // The symbol at [begin, middle) and the one at [middle, end) become `id`.
  void join(uint32_t begin, uint32_t middle, uint32_t end, uint32_t id) {
    slots_[middle - 1] = kInside;
    slots_[middle] = kInside;
    slots_[begin] = slots_[end - 1] = id;
  }

 private:
  static constexpr int kBlockBits = 4;

  void add_word(std::string_view word, const std::array<uint32_t, 256>& id_of_byte) {
    word_begins_.push_back(static_cast<uint32_t>(slots_.size()));
    for (const char byte : word) slots_.push_back(id_of_byte[static_cast<unsigned char>(byte)]);
    slots_.push_back(kBoundary);
  }

  void index_blocks() {
    uint32_t word = 0;
    for (uint32_t block = 0; block <= (size() >> kBlockBits); ++block) {
      while (word + 1 < weights_.size() && word_begins_[word + 1] <= block << kBlockBits) ++word;
      first_word_of_block_.push_back(word);
    }
  }

  std::vector<uint32_t> slots_;
  std::vector<uint32_t> word_begins_;
  std::vector<uint64_t> weights_;
  std::vector<uint32_t> first_word_of_block_;
};

// The tokens so far; equal texts are one token, however they were made.
class TokenList {
 public:
  uint32_t add(const std::string& token, uint32_t num_bytes) {
    const auto [it, is_new] = id_of_.emplace(token, static_cast<uint32_t>(tokens_.size()));
    if (is_new) {
      tokens_.push_back(token);
      num_bytes_.push_back(num_bytes);
    }
    return it->second;
  }
  uint32_t joined(uint32_t left, uint32_t right) {
    return add(tokens_[left] + tokens_[right], num_bytes_[left] + num_bytes_[right]);
  }
  size_t size() const { return tokens_.size(); }
  uint32_t num_bytes(uint32_t id) const { return num_bytes_[id]; }
  const std::string& text(uint32_t id) const { return tokens_[id]; }
  std::vector<std::string> take() { return std::move(tokens_); }

 private:
  std::vector<std::string> tokens_;
  std::vector<uint32_t> num_bytes_;  ///< length as raw bytes
  std::unordered_map<std::string, uint32_t> id_of_;
};

using Positions = std::vector<uint32_t>;

// A pair with some of its places. A pair that comes up again later, because another merge makes the same
// token, gets another entry with the new places.
struct Candidate {
  int64_t count;
  uint64_t pair;
  uint32_t positions;  ///< index of a list
  bool operator<(const Candidate& other) const {
    return count != other.count ? count < other.count : pair > other.pair;
  }
};

class MergeTrainer {
 public:
  MergeTrainer(const WordCounts& counts, const MergeTrainerOptions& options)
      : options_(options), id_of_byte_(first_tokens()), text_(counts, id_of_byte_) {}

  LearnedMerges run() {
    count_first_pairs();
    while (tokens_.size() < options_.vocab_size && !queue_.empty()) {
      Candidate top = queue_.top();
      queue_.pop();
      const int64_t count = pairs_.find(top.pair)->count;
      if (top.count != count) {
        top.count = count;
        if (count > 0) queue_.push(top);
        continue;
      }
      if (static_cast<uint64_t>(count) < options_.min_frequency) break;
      merge(top);
    }
    return result();
  }

 private:
  struct PairState {
    int64_t count = 0;
    uint32_t new_positions = 0;  ///< list + 1 while the current merge finds new places; 0: none
  };

  std::array<uint32_t, 256> first_tokens() {
    for (const auto& token : options_.special_tokens)
      tokens_.add(token, static_cast<uint32_t>(from_byte_symbols(token).value_or(token).size()));
    std::vector<std::pair<std::string_view, uint8_t>> symbols;  // UTF-8 sorts as code points do
    for (int byte = 0; byte < 256; ++byte)
      symbols.emplace_back(byte_symbol(static_cast<uint8_t>(byte)), static_cast<uint8_t>(byte));
    std::sort(symbols.begin(), symbols.end());
    std::array<uint32_t, 256> id_of_byte{};
    for (const auto& [symbol, byte] : symbols) id_of_byte[byte] = tokens_.add(std::string(symbol), 1);
    return id_of_byte;
  }

  void count_first_pairs() {
    for (uint32_t at = 1; at + 1 < text_.size(); ++at) {
      if (text_[at] == kBoundary || text_[at + 1] == kBoundary) continue;
      add_place(pair_key(text_[at], text_[at + 1]), at, static_cast<int64_t>(text_.weight(at)));
    }
    queue_new_places();
  }

  void add_place(uint64_t pair, uint32_t position, int64_t weight) {
    PairState& state = pairs_[pair];
    state.count += weight;
    if (state.new_positions == 0) {
      state.new_positions = new_list();
      touched_.push_back(pair);
    }
    lists_[state.new_positions - 1].push_back(position);
  }

  uint32_t new_list() {
    if (free_lists_.empty()) {
      lists_.emplace_back();
      return static_cast<uint32_t>(lists_.size());
    }
    const uint32_t list = free_lists_.back();
    free_lists_.pop_back();
    return list + 1;
  }

  void queue_new_places() {
    for (const uint64_t pair : touched_) {
      PairState& state = *pairs_.find(pair);
      const uint32_t list = std::exchange(state.new_positions, 0) - 1;
      if (state.count > 0)
        queue_.push({state.count, pair, list});
      else
        release(list);
    }
    touched_.clear();
  }

  void release(uint32_t list) {
    lists_[list] = Positions();
    free_lists_.push_back(list);
  }

  void merge(const Candidate& top) {
    const auto left = static_cast<uint32_t>(top.pair >> 32), right = static_cast<uint32_t>(top.pair);
    const uint32_t joined = tokens_.joined(left, right);
    merges_.push_back(top.pair);
    const Positions positions = std::move(lists_[top.positions]);
    release(top.positions);
    for (const uint32_t begin : positions) merge_at(begin, left, right, joined);
    queue_new_places();
  }

  void merge_at(uint32_t begin, uint32_t left, uint32_t right, uint32_t joined) {
    const uint32_t middle = begin + tokens_.num_bytes(left), end = middle + tokens_.num_bytes(right);
    if (text_[begin] != left || text_[middle] != right) return;  // an earlier merge took one of them
    const auto weight = static_cast<int64_t>(text_.weight(begin));
    text_.join(begin, middle, end, joined);
    if (const uint32_t before = text_[begin - 1]; before != kBoundary) {
      pairs_[pair_key(before, left)].count -= weight;
      if (may_join(before, joined))
        add_place(pair_key(before, joined), begin - tokens_.num_bytes(before), weight);
    }
    if (const uint32_t after = text_[end]; after != kBoundary) {
      pairs_[pair_key(right, after)].count -= weight;
      if (may_join(joined, after)) add_place(pair_key(joined, after), begin, weight);
    }
  }

  bool may_join(uint32_t left, uint32_t right) const {
    return options_.max_token_bytes == 0 ||
           tokens_.num_bytes(left) + tokens_.num_bytes(right) <= options_.max_token_bytes;
  }

  // A pair that was merged twice counts at its later rank, as it would when the file is read again.
  LearnedMerges result() {
    LearnedMerges learned;
    FlatMap<uint32_t> last_rank;
    for (uint32_t rank = 0; rank < merges_.size(); ++rank) last_rank[merges_[rank]] = rank;
    for (uint32_t rank = 0; rank < merges_.size(); ++rank)
      if (last_rank[merges_[rank]] == rank)
        learned.merges.emplace_back(tokens_.text(static_cast<uint32_t>(merges_[rank] >> 32)),
                                    tokens_.text(static_cast<uint32_t>(merges_[rank])));
    learned.tokens = tokens_.take();
    return learned;
  }

  MergeTrainerOptions options_;
  TokenList tokens_;
  std::array<uint32_t, 256> id_of_byte_;
  SymbolText text_;
  FlatMap<PairState> pairs_;
  std::vector<Positions> lists_;
  std::vector<uint32_t> free_lists_;
  std::vector<uint64_t> touched_;
  std::priority_queue<Candidate> queue_;
  std::vector<uint64_t> merges_;
};

}  // namespace

LearnedMerges learn_merges(const WordCounts& counts, const MergeTrainerOptions& options) {
  return MergeTrainer(counts, options).run();
}

}  // namespace athanor::data::tokenizer
