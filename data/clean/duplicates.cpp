#include "data/clean/duplicates.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "core/parallel_for.h"
#include "data/clean/minhash.h"

namespace athanor::clean {
namespace {

using Pair = std::pair<uint32_t, uint32_t>;

std::vector<uint32_t> identity(size_t size) {
  std::vector<uint32_t> all(size);
  std::iota(all.begin(), all.end(), 0);
  return all;
}

// Calls body(first, last) for every run of at least two equal elements in `order`, which is sorted by `less`.
void for_each_run(const std::vector<uint32_t>& order, auto&& is_equal, auto&& body) {
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin + 1;
    while (end < order.size() && is_equal(order[begin], order[end])) ++end;
    if (end - begin > 1) body(begin, end);
    begin = end;
  }
}

std::vector<uint32_t> find_exact(const SignatureTable& table) {
  auto earliest = identity(table.size());
  auto order = earliest;
  const auto& digests = table.digests;
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return digests[a] != digests[b] ? digests[a] < digests[b] : a < b;
  });
  for_each_run(
      order, [&](uint32_t a, uint32_t b) { return digests[a] == digests[b]; },
      [&](size_t begin, size_t end) {
        for (size_t i = begin + 1; i < end; ++i) earliest[order[i]] = order[begin];
      });
  return earliest;
}

// Pairs (leader, member) of one bucket, whose members are in input order.
void match_bucket(const SignatureTable& table, std::span<const uint32_t> bucket, double min_similarity,
                  std::vector<Pair>& pairs) {
  std::vector<uint32_t> leaders = {bucket[0]};
  for (uint32_t member : bucket.subspan(1)) {
    const auto is_similar = [&](uint32_t leader) {
      return min_similarity <= 0 ||
             estimate_similarity(table.sketch(leader), table.sketch(member)) >= min_similarity;
    };
    const auto leader = std::find_if(leaders.begin(), leaders.end(), is_similar);
    if (leader != leaders.end())
      pairs.emplace_back(*leader, member);
    else if (leaders.size() < kMaxLeaders)
      leaders.push_back(member);
  }
}

std::vector<Pair> match_band(const SignatureTable& table, const std::vector<uint32_t>& documents, size_t band,
                             double min_similarity) {
  const auto hash = [&](uint32_t document) { return table.bands[document * table.num_bands + band]; };
  auto order = documents;
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return hash(a) != hash(b) ? hash(a) < hash(b) : a < b; });
  std::vector<Pair> pairs;
  for_each_run(
      order, [&](uint32_t a, uint32_t b) { return hash(a) == hash(b); },
      [&](size_t begin, size_t end) {
        match_bucket(table, std::span(order).subspan(begin, end - begin), min_similarity, pairs);
      });
  return pairs;
}

std::vector<uint32_t> find_near(const SignatureTable& table, const std::vector<uint32_t>& documents,
                                double min_similarity) {
  std::vector<std::vector<Pair>> pairs_of_band(table.num_bands);
  core::parallel_for(static_cast<int64_t>(table.num_bands), [&](int64_t band) {
    const auto index = static_cast<size_t>(band);
    pairs_of_band[index] = match_band(table, documents, index, min_similarity);
  });
  UnionFind clusters(table.size());
  for (const auto& pairs : pairs_of_band)
    for (const auto& [leader, member] : pairs) clusters.join(leader, member);
  auto earliest = identity(table.size());
  for (uint32_t document : documents) earliest[document] = clusters.find(document);
  return earliest;
}

}  // namespace

UnionFind::UnionFind(size_t size) : parent_(identity(size)) {}

uint32_t UnionFind::find(uint32_t member) {
  while (parent_[member] != member) member = parent_[member] = parent_[parent_[member]];
  return member;
}

void UnionFind::join(uint32_t a, uint32_t b) {
  a = find(a);
  b = find(b);
  parent_[std::max(a, b)] = std::min(a, b);
}

Duplicates find_duplicates(const SignatureTable& table, const configs::CleanDuplicates& options) {
  if (table.size() >= UINT32_MAX)
    throw core::DataError(
        "{} documents in one deduplication, at most {} are possible; clean the corpus in parts", table.size(),
        UINT32_MAX - 1);
  Duplicates result;
  result.exact_of = options.exact ? find_exact(table) : identity(table.size());
  std::vector<uint32_t> unique;
  for (uint32_t i = 0; i < table.size(); ++i)
    if (result.exact_of[i] == i) unique.push_back(i);
  result.near_of = options.near ? find_near(table, unique, options.min_similarity) : identity(table.size());
  return result;
}

}  // namespace athanor::clean
