#include "data/shards/shard_verify.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/digest.h"
#include "core/error.h"
#include "data/shards/shard_writer.h"

namespace athanor::data {
namespace {

constexpr uint64_t kBlockElements = uint64_t{1} << 18;

/// Calls body(first, count) for blocks that cover [0, size).
template <typename Body>
void for_blocks(uint64_t size, Body body) {
  for (uint64_t first = 0; first < size; first += kBlockElements)
    body(first, std::min(kBlockElements, size - first));
}

std::string dataset_digest(const ShardReader& shard, const DatasetLayout& layout) {
  core::Digest digest;
  std::vector<std::byte> block;
  for_blocks(layout.num_elements, [&](uint64_t first, uint64_t count) {
    block.resize(count * layout.element_bytes);
    shard.read(layout, first, block);
    digest.update(block);
  });
  return digest.hex();
}

std::string content_digest(const ShardReader& shard) {
  ContentDigest digest;
  for (const std::string_view dataset : kShardDatasets)
    if (const DatasetLayout* layout = shard.layout(dataset))
      digest.add(dataset, dataset_digest(shard, *layout));
  return digest.hex();
}

void verify_tokens(const ShardReader& shard) {
  std::vector<uint32_t> block;
  for_blocks(shard.num_tokens(), [&](uint64_t first, uint64_t count) {
    block.resize(count);
    shard.read_tokens(first, block);
  });
}

/// Calls body(first, lengths) for blocks of documents, in order; checks the offsets on the way.
template <typename Body>
void for_document_lengths(const ShardReader& shard, Body body) {
  std::vector<uint64_t> offsets;
  for_blocks(shard.num_documents(), [&](uint64_t first, uint64_t count) {
    offsets.resize(count + 1);
    shard.read_offsets(first, offsets);
    for (uint64_t i = 0; i < count; ++i) offsets[i] = offsets[i + 1] - offsets[i];
    body(first, std::span(offsets).first(count));
  });
}

std::vector<std::string> read_names(const ShardReader& shard, std::string_view dataset) {
  const DatasetLayout& layout = *shard.layout(dataset);
  std::vector<std::string> names(layout.num_elements);
  std::string text(layout.element_bytes, '\0');
  for (uint64_t i = 0; i < names.size(); ++i) {
    shard.read(layout, i, std::as_writable_bytes(std::span(text.data(), text.size())));
    names[i] = text.substr(0, text.find('\0'));
  }
  return names;
}

std::vector<LabelCount> count_labels(const ShardReader& shard, std::string_view ids_name,
                                     std::string_view names_name) {
  const DatasetLayout* ids = shard.layout(ids_name);
  if (!ids) return {};
  std::vector<LabelCount> counts;
  for (std::string& name : read_names(shard, names_name)) counts.push_back({.name = std::move(name)});
  std::vector<uint16_t> block;
  for_document_lengths(shard, [&](uint64_t first, std::span<const uint64_t> lengths) {
    block.resize(lengths.size());
    shard.read(*ids, first, std::as_writable_bytes(std::span(block)));
    for (size_t i = 0; i < block.size(); ++i) {
      if (block[i] >= counts.size())
        throw core::DataError("{}: /{} of document {} is {}, /{} has {} entries", shard.path(), ids_name,
                              first + i, block[i], names_name, counts.size());
      ++counts[block[i]].num_documents;
      counts[block[i]].num_tokens += lengths[i];
    }
  });
  return counts;
}

/// The k-th smallest length, found from counts per length: memory grows with the number of different lengths
/// only.
uint64_t length_at_rank(const std::map<uint64_t, uint64_t>& documents_of_length, uint64_t rank) {
  for (const auto& [length, count] : documents_of_length) {
    if (rank < count) return length;
    rank -= count;
  }
  return 0;
}

void add_lengths(const ShardReader& shard, ShardStat& stat) {
  std::map<uint64_t, uint64_t> documents_of_length;
  for_document_lengths(shard, [&](uint64_t, std::span<const uint64_t> lengths) {
    for (const uint64_t length : lengths) ++documents_of_length[length];
  });
  stat.shortest_document = documents_of_length.begin()->first;
  stat.longest_document = documents_of_length.rbegin()->first;
  stat.median_document = length_at_rank(documents_of_length, (stat.num_documents - 1) / 2);
}

void add_scores(const ShardReader& shard, ShardStat& stat) {
  const DatasetLayout* scores = shard.layout(kScore);
  if (!scores) return;
  double sum = 0;
  std::vector<float> block;
  for_blocks(scores->num_elements, [&](uint64_t first, uint64_t count) {
    block.resize(count);
    shard.read(*scores, first, std::as_writable_bytes(std::span(block)));
    for (const float score : block) {
      if (std::isnan(score)) continue;
      ++stat.num_scored;
      sum += score;
    }
  });
  if (stat.num_scored > 0) stat.mean_score = sum / static_cast<double>(stat.num_scored);
}

}  // namespace

void verify_shard(const ShardReader& shard) {
  if (shard.file_bytes() != shard.hdf5_bytes())
    throw core::DataError(
        "{}: {} bytes follow the end of the HDF5 data at byte {}; something was appended to the file; "
        "copy or build it again",
        shard.path(), shard.file_bytes() - shard.hdf5_bytes(), shard.hdf5_bytes());
  for_document_lengths(shard, [](uint64_t, std::span<const uint64_t>) {});
  verify_tokens(shard);
  count_labels(shard, kSource, kSourceNames);
  count_labels(shard, kLanguage, kLanguageNames);
  const std::string found = content_digest(shard);
  if (found != shard.content_digest())
    throw core::DataError(
        "{}: the content has digest {}, {} was stored when it was written; the file is damaged", shard.path(),
        found, shard.content_digest());
}

ShardStat shard_stat(const ShardReader& shard) {
  ShardStat stat{.path = shard.path(),
                 .file_bytes = shard.file_bytes(),
                 .num_tokens = shard.num_tokens(),
                 .num_documents = shard.num_documents(),
                 .token_bytes = shard.token_bytes(),
                 .vocabulary_size = shard.vocabulary_size(),
                 .tokenizer_digest = shard.tokenizer_digest(),
                 .content_digest = shard.content_digest(),
                 .shortest_document = 0,
                 .median_document = 0,
                 .longest_document = 0,
                 .sources = count_labels(shard, kSource, kSourceNames),
                 .languages = count_labels(shard, kLanguage, kLanguageNames),
                 .num_scored = 0,
                 .mean_score = 0};
  add_lengths(shard, stat);
  add_scores(shard, stat);
  return stat;
}

}  // namespace athanor::data
