#include "data/loader/token_source.h"

#include <algorithm>
#include <set>

#include "core/error.h"

namespace athanor::data {
namespace {

using core::DataError;

std::vector<std::string> expand(std::span<const std::string> patterns) {
  std::vector<std::string> paths;
  for (const std::string& pattern : patterns) {
    const std::vector<std::string> matches = core::glob(pattern);
    if (matches.empty())
      throw core::MissingInputError(
          "{}: no token shard matches; check the path, or write shards with `athanor shards build`", pattern);
    paths.insert(paths.end(), matches.begin(), matches.end());
  }
  std::set<std::string> seen;
  for (const std::string& path : paths)
    if (!seen.insert(path).second)
      throw DataError("{}: listed twice in one source; its documents would be repeated", path);
  return paths;
}

}  // namespace

TokenSource::TokenSource(FilePool& pool, std::span<const std::string> patterns)
    : shards_(ShardReader::open_all(pool, expand(patterns))), first_document_{0} {
  ATHANOR_CHECK(!shards_.empty(), "a source without patterns");
  check_tokenizers();
  for (const ShardReader& shard : shards_) {
    first_document_.push_back(first_document_.back() + shard.num_documents());
    num_tokens_ += shard.num_tokens();
  }
  if (num_documents() <= kMaxDocumentsInMemory) load_offsets();
}

void TokenSource::check_tokenizers() const {
  const ShardReader& first = shards_.front();
  for (const ShardReader& shard : shards_)
    if (shard.tokenizer_digest() != first.tokenizer_digest() ||
        shard.vocabulary_size() != first.vocabulary_size())
      throw DataError(
          "{} and {} were written with different tokenizers ({}, vocabulary {}; {}, vocabulary {}); build "
          "them "
          "again with one",
          first.path(), shard.path(), first.tokenizer_digest(), first.vocabulary_size(),
          shard.tokenizer_digest(), shard.vocabulary_size());
}

void TokenSource::load_offsets() {
  for (const ShardReader& shard : shards_) {
    auto& offsets = offsets_.emplace_back(shard.num_documents() + 1);
    shard.read_offsets(0, offsets);
  }
}

size_t TokenSource::shard_of(uint64_t document) const {
  const auto after = std::upper_bound(first_document_.begin(), first_document_.end(), document);
  return static_cast<size_t>(after - first_document_.begin()) - 1;
}

DocumentPlace TokenSource::document(uint64_t index) const {
  ATHANOR_CHECK(index < num_documents(), "document {} of {}", index, num_documents());
  const size_t shard_idx = shard_of(index);
  const uint64_t local = index - first_document_[shard_idx];
  const TokenRange range = offsets_.empty()
                               ? shards_[shard_idx].document(local)
                               : TokenRange{offsets_[shard_idx][local], offsets_[shard_idx][local + 1]};
  return {static_cast<uint32_t>(shard_idx), range.first, range.size()};
}

void TokenSource::read_lengths(uint64_t first, std::span<uint64_t> out) const {
  std::vector<uint64_t> offsets;
  while (!out.empty()) {
    const size_t shard_idx = shard_of(first);
    const size_t count = std::min<uint64_t>(out.size(), first_document_[shard_idx + 1] - first);
    offsets.resize(count + 1);
    shards_[shard_idx].read_offsets(first - first_document_[shard_idx], offsets);
    for (size_t i = 0; i < count; ++i) out[i] = offsets[i + 1] - offsets[i];
    out = out.subspan(count);
    first += count;
  }
}

}  // namespace athanor::data
