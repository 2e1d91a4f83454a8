#include "data/shards/shard_reader.h"

#include <algorithm>
#include <array>

#include "core/error.h"

namespace athanor::data {
namespace {

using core::DataError;

constexpr std::array kShardAttributes = {kFormatVersionAttribute, kVocabularySizeAttribute,
                                         kTokenizerDigestAttribute, kContentDigestAttribute};
constexpr size_t kBlockTokens = 4096;

/// Reads narrow tokens in blocks that stay in the cache and widens them.
template <typename ReadBlock>
void read_narrow_tokens(uint64_t first, std::span<uint32_t> out, ReadBlock read_block) {
  std::array<uint16_t, kBlockTokens> block;
  while (!out.empty()) {
    const auto narrow = std::span(block).first(std::min(out.size(), block.size()));
    read_block(first, std::as_writable_bytes(narrow));
    std::copy(narrow.begin(), narrow.end(), out.begin());
    out = out.subspan(narrow.size());
    first += narrow.size();
  }
}

}  // namespace

std::vector<ShardReader> ShardReader::open_all(FilePool& pool, std::span<const std::string> paths) {
  for (const std::string& path : paths) pool.forget(path);
  std::vector<ShardReader> shards;
  for (Hdf5Contents& contents :
       read_hdf5_contents(pool.file_system(), paths, kShardDatasets, kShardAttributes))
    shards.push_back(ShardReader(pool, std::move(contents)));
  return shards;
}

ShardReader::ShardReader(FilePool& pool, Hdf5Contents contents)
    : pool_(&pool), contents_(std::move(contents)) {
  const uint64_t version = number(kFormatVersionAttribute);
  if (version != kShardFormatVersion)
    throw DataError("{}: shard format version {}, this program reads version {}", path(), version,
                    kShardFormatVersion);
  vocabulary_size_ = number(kVocabularySizeAttribute);
  if (vocabulary_size_ == 0 || vocabulary_size_ > uint64_t{1} << 32)
    throw DataError("{}: attribute {} is {}, expected 1 to 2^32", path(), kVocabularySizeAttribute,
                    vocabulary_size_);
  tokenizer_digest_ = text(kTokenizerDigestAttribute);
  content_digest_ = text(kContentDigestAttribute);
  tokens_ = required(kTokens, ElementKind::kUnsigned);
  offsets_ = required(kDocumentOffsets, ElementKind::kUnsigned);
  if (token_bytes() != 2 && token_bytes() != 4)
    throw DataError("{}: /{} has {} bytes per token, expected uint16 or uint32", path(), kTokens,
                    token_bytes());
  if (offsets_->element_bytes != 8) throw DataError("{}: /{} is not uint64", path(), kDocumentOffsets);
  if (offsets_->num_elements < 2 || tokens_->num_elements == 0)
    throw DataError("{}: an empty shard ({} tokens, {} offsets); leave it out of the list", path(),
                    num_tokens(), offsets_->num_elements);
  uint64_t first = 1, last = 0;
  read_offsets(0, std::span(&first, 1));
  read_offsets(num_documents(), std::span(&last, 1));
  if (first != 0 || last != num_tokens())
    throw DataError("{}: /{} goes from {} to {}, expected 0 to {} (the number of tokens)", path(),
                    kDocumentOffsets, first, last, num_tokens());
  check_column(kSource, ElementKind::kUnsigned, 2);
  check_column(kLanguage, ElementKind::kUnsigned, 2);
  check_column(kScore, ElementKind::kFloat, 4);
  if (layout(kSource)) check_names(kSourceNames);
  if (layout(kLanguage)) check_names(kLanguageNames);
}

const DatasetLayout* ShardReader::layout(std::string_view dataset) const {
  const auto found = contents_.datasets.find(dataset);
  return found == contents_.datasets.end() ? nullptr : &found->second;
}

const DatasetLayout* ShardReader::required(std::string_view dataset, ElementKind kind) const {
  const DatasetLayout* found = layout(dataset);
  if (!found) throw DataError("{}: no dataset /{}; is this a token shard?", path(), dataset);
  if (found->kind != kind) throw DataError("{}: /{} has an unexpected type", path(), dataset);
  return found;
}

void ShardReader::check_column(std::string_view dataset, ElementKind kind, uint64_t element_bytes) const {
  const DatasetLayout* column = layout(dataset);
  if (!column) return;
  if (column->kind != kind || column->element_bytes != element_bytes ||
      column->num_elements != num_documents())
    throw DataError("{}: /{} has {} elements of {} bytes, expected {} of {}", path(), dataset,
                    column->num_elements, column->element_bytes, num_documents(), element_bytes);
}

void ShardReader::check_names(std::string_view dataset) const {
  const uint64_t count = required(dataset, ElementKind::kString)->num_elements;
  if (count > kMaxLabelNames)
    throw DataError("{}: /{} has {} names, at most {} are allowed", path(), dataset, count, kMaxLabelNames);
}

uint64_t ShardReader::number(std::string_view attribute) const {
  const auto found = contents_.attributes.find(attribute);
  if (found == contents_.attributes.end() || !std::holds_alternative<uint64_t>(found->second))
    throw DataError("{}: no attribute {} with a number; is this a token shard?", path(), attribute);
  return std::get<uint64_t>(found->second);
}

std::string ShardReader::text(std::string_view attribute) const {
  const auto found = contents_.attributes.find(attribute);
  if (found == contents_.attributes.end() || !std::holds_alternative<std::string>(found->second))
    throw DataError("{}: no attribute {} with a text; is this a token shard?", path(), attribute);
  return std::get<std::string>(found->second);
}

void ShardReader::read(const DatasetLayout& layout, uint64_t first_element, std::span<std::byte> out) const {
  layout.read(*pool_->open(path(), file_bytes()), first_element, out);
}

void ShardReader::read_tokens(uint64_t first, std::span<uint32_t> out) const {
  const auto file = pool_->open(path(), file_bytes());
  if (token_bytes() == 4)
    tokens_->read(*file, first, std::as_writable_bytes(out));
  else
    read_narrow_tokens(first, out,
                       [&](uint64_t at, std::span<std::byte> bytes) { tokens_->read(*file, at, bytes); });
  uint32_t largest = 0;
  for (const uint32_t token : out) largest = std::max(largest, token);
  if (largest >= vocabulary_size_)
    throw DataError(
        "{}: token id {} at or after token {}, the vocabulary has {}; the file is damaged or was written "
        "with another tokenizer",
        path(), largest, first, vocabulary_size_);
}

void ShardReader::read_offsets(uint64_t first, std::span<uint64_t> out) const {
  read(*offsets_, first, std::as_writable_bytes(out));
  for (size_t i = 0; i < out.size(); ++i)
    if (out[i] > num_tokens() || (i > 0 && out[i] < out[i - 1]))
      throw DataError("{}: /{} is {} at entry {}, expected {} to {}; the file is damaged", path(),
                      kDocumentOffsets, out[i], first + i, i > 0 ? out[i - 1] : 0, num_tokens());
}

TokenRange ShardReader::document(uint64_t index) const {
  std::array<uint64_t, 2> ends;
  read_offsets(index, ends);
  return {ends[0], ends[1]};
}

}  // namespace athanor::data
