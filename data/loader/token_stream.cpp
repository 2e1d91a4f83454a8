#include "data/loader/token_stream.h"

#include <algorithm>
#include <chrono>

#include "core/error.h"
#include "core/parallel_for.h"

namespace athanor::data {
namespace {

// Enough for a few threads that read at different places; a group takes some 8 KiB.
constexpr size_t kMaxRecentGroups = 32;
constexpr size_t kMaxOrders = 3;

/// The plain loop: building in the background must not take turns with the step on the compute threads.
void for_each_in_line(int64_t count, const std::function<void(int64_t)>& body) {
  for (int64_t i = 0; i < count; ++i) body(i);
}

}  // namespace

TokenStream::TokenStream(const TokenSource& source, TokenStreamOptions options)
    : source_(source), options_(std::move(options)) {}

TokenStream::~TokenStream() {
  is_cancelled_ = true;
  const std::lock_guard lock(mutex_);
  for (const auto& [epoch, order] : orders_) order.wait();
}

TokenStream::OrderPtr TokenStream::build(uint64_t epoch, const EpochOrder::ForEach& for_each) const {
  std::optional<std::string> key;
  if (options_.shuffle) key = fmt::format("data/{}/epoch-{}", options_.name, epoch);
  return std::make_shared<const EpochOrder>(source_, key, options_.seed, for_each, is_cancelled_);
}

std::shared_future<TokenStream::OrderPtr> TokenStream::start_build(uint64_t epoch) const {
  return std::async(std::launch::async, [this, epoch] { return build(epoch, for_each_in_line); }).share();
}

void TokenStream::prepare(uint64_t position) const {
  const uint64_t epoch = position / source_.num_tokens();
  std::promise<OrderPtr> promise;
  promise.set_value(build(epoch, core::parallel_for));
  const std::lock_guard lock(mutex_);
  orders_.emplace(epoch, promise.get_future().share());
}

TokenStream::OrderPtr TokenStream::order(uint64_t epoch) const {
  std::shared_future<OrderPtr> future;
  {
    const std::lock_guard lock(mutex_);
    auto found = orders_.find(epoch);
    if (found == orders_.end()) found = orders_.emplace(epoch, start_build(epoch)).first;
    future = found->second;
    forget_orders_but(epoch);
  }
  return future.get();
}

void TokenStream::build_ahead(uint64_t epoch, uint64_t token) const {
  if (token < source_.num_tokens() / 4 * 3) return;
  const std::lock_guard lock(mutex_);
  if (!orders_.contains(epoch + 1)) orders_.emplace(epoch + 1, start_build(epoch + 1));
}

void TokenStream::forget_orders_but(uint64_t epoch) const {
  for (auto entry = orders_.begin(); entry != orders_.end() && orders_.size() > kMaxOrders;) {
    const bool is_idle = entry->first != epoch && entry->first != epoch + 1 &&
                         entry->second.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    entry = is_idle ? orders_.erase(entry) : std::next(entry);
  }
}

TokenStream::GroupPtr TokenStream::group(uint64_t epoch, const EpochOrder& epoch_order,
                                         uint64_t group_idx) const {
  const GroupKey key{epoch, group_idx};
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(recent_groups_.begin(), recent_groups_.end(),
                                    [&](const auto& entry) { return entry.first == key; });
    if (found != recent_groups_.end()) {
      std::rotate(found, found + 1, recent_groups_.end());
      return recent_groups_.back().second;
    }
  }
  GroupPtr loaded = epoch_order.load_group(group_idx);
  const std::lock_guard lock(mutex_);
  if (recent_groups_.size() == kMaxRecentGroups) recent_groups_.erase(recent_groups_.begin());
  recent_groups_.emplace_back(key, loaded);
  return loaded;
}

void TokenStream::find_pieces(uint64_t first, uint64_t count, std::vector<Piece>& pieces) const {
  while (count > 0) {
    const uint64_t epoch = first / source_.num_tokens(), token = first % source_.num_tokens();
    const OrderPtr epoch_order = order(epoch);
    build_ahead(epoch, token);
    const GroupPtr here = group(epoch, *epoch_order, epoch_order->group_of(token));
    // The last document that starts at or before the token: documents without tokens start there too and are
    // passed by.
    const auto& starts = here->first_tokens;
    auto document =
        static_cast<size_t>(std::upper_bound(starts.begin(), starts.end(), token) - starts.begin()) - 1;
    for (uint64_t at = token; count > 0 && document < here->documents.size(); ++document) {
      const DocumentPlace& place = here->documents[document];
      const uint64_t skipped = at - starts[document], taken = std::min(count, place.num_tokens - skipped);
      if (taken == 0) continue;
      pieces.push_back({place.shard_idx, place.first_token + skipped, taken});
      at += taken;
      first += taken;
      count -= taken;
    }
  }
}

}  // namespace athanor::data
