// A source as an endless stream of tokens: epoch after epoch, each in its own order of documents. Position p
// of the stream is token p mod num_tokens of epoch p / num_tokens, so nothing is dropped or repeated where
// epochs meet.
#pragma once

#include <atomic>
#include <cstdint>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "data/loader/epoch_order.h"
#include "data/loader/token_source.h"

namespace athanor::data {

/// A run of tokens of one document, as they lie in a shard.
struct Piece {
  uint32_t shard_idx = 0;
  uint64_t first_token = 0;  ///< in the shard
  uint64_t num_tokens = 0;
};

struct TokenStreamOptions {
  bool shuffle = true;
  uint64_t seed = 0;
  std::string name = {};  ///< separates the shuffles of several sources
};

/// Thread-safe. Orders of epochs are built when first needed; the next one is built in the background once
/// the end of an epoch comes near.
class TokenStream {
 public:
  /// The source outlives the stream.
  TokenStream(const TokenSource& source, TokenStreamOptions options);
  /// Waits for a build in the background, which ends early.
  ~TokenStream();
  TokenStream(const TokenStream&) = delete;
  TokenStream& operator=(const TokenStream&) = delete;

  /// Appends the pieces that make up positions [first, first + count), in order, none empty. Throws
  /// DataError, IoError.
  void find_pieces(uint64_t first, uint64_t count, std::vector<Piece>& pieces) const;

  /// Builds the order that `position` needs now, on all compute threads, so that reading there starts at
  /// once.
  void prepare(uint64_t position) const;

 private:
  using OrderPtr = std::shared_ptr<const EpochOrder>;
  using GroupPtr = std::shared_ptr<const DocumentGroup>;
  using GroupKey = std::pair<uint64_t, uint64_t>;  // epoch, group

  OrderPtr order(uint64_t epoch) const;
  void build_ahead(uint64_t epoch, uint64_t token) const;
  OrderPtr build(uint64_t epoch, const EpochOrder::ForEach& for_each) const;
  GroupPtr group(uint64_t epoch, const EpochOrder& epoch_order, uint64_t group_idx) const;
  std::shared_future<OrderPtr> start_build(uint64_t epoch) const;
  void forget_orders_but(uint64_t epoch) const;  // requires mutex_

  const TokenSource& source_;
  TokenStreamOptions options_;
  mutable std::atomic<bool> is_cancelled_{false};
  mutable std::mutex mutex_;
  mutable std::map<uint64_t, std::shared_future<OrderPtr>> orders_;
  mutable std::vector<std::pair<GroupKey, GroupPtr>> recent_groups_;  ///< newest last
};

}  // namespace athanor::data
