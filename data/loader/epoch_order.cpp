#include "data/loader/epoch_order.h"

#include <algorithm>

#include "core/error.h"

namespace athanor::data {
namespace {

constexpr uint64_t kDocumentsPerPiece = 65536;

uint64_t pieces(uint64_t count, uint64_t per_piece) {
  return (count + per_piece - 1) / per_piece;
}

}  // namespace

EpochOrder::EpochOrder(const TokenSource& source, const std::optional<std::string>& key, uint64_t seed,
                       const ForEach& for_each, const std::atomic<bool>& is_cancelled)
    : source_(source) {
  if (key) permutation_.emplace(source.num_documents(), seed, *key);
  count_tokens(for_each, is_cancelled);
}

void EpochOrder::count_tokens(const ForEach& for_each, const std::atomic<bool>& is_cancelled) {
  const uint64_t num_documents = source_.num_documents(),
                 num_groups = pieces(num_documents, kDocumentsPerGroup);
  std::vector<std::atomic<uint64_t>> group_tokens(num_groups);
  for_each(static_cast<int64_t>(pieces(num_documents, kDocumentsPerPiece)), [&](int64_t piece) {
    if (is_cancelled.load(std::memory_order_relaxed)) return;
    const uint64_t first = static_cast<uint64_t>(piece) * kDocumentsPerPiece;
    std::vector<uint64_t> lengths(std::min(kDocumentsPerPiece, num_documents - first));
    source_.read_lengths(first, lengths);
    for (size_t i = 0; i < lengths.size(); ++i)
      group_tokens[position_of(first + i) / kDocumentsPerGroup].fetch_add(lengths[i],
                                                                          std::memory_order_relaxed);
  });
  first_token_.reserve(num_groups + 1);
  first_token_.push_back(0);
  for (const auto& tokens : group_tokens) first_token_.push_back(first_token_.back() + tokens.load());
}

uint64_t EpochOrder::group_of(uint64_t token) const {
  const auto after = std::upper_bound(first_token_.begin(), first_token_.end(), token);
  return static_cast<uint64_t>(after - first_token_.begin()) - 1;
}

std::shared_ptr<const DocumentGroup> EpochOrder::load_group(uint64_t group_idx) const {
  const uint64_t first = group_idx * kDocumentsPerGroup;
  const uint64_t last = std::min(first + kDocumentsPerGroup, source_.num_documents());
  auto group = std::make_shared<DocumentGroup>();
  group->group_idx = group_idx;
  group->documents.reserve(last - first);
  group->first_tokens.reserve(last - first + 1);
  group->first_tokens.push_back(first_token_[group_idx]);
  for (uint64_t position = first; position < last; ++position) {
    group->documents.push_back(source_.document(document_at(position)));
    group->first_tokens.push_back(group->first_tokens.back() + group->documents.back().num_tokens);
  }
  if (group->first_tokens.back() != first_token_[group_idx + 1])
    throw core::DataError("{} and the shards with it: document lengths changed while in use",
                          source_.shards().front().path());
  return group;
}

}  // namespace athanor::data
