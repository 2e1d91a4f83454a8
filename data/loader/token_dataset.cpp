#include "data/loader/token_dataset.h"

#include <algorithm>
#include <numeric>

#include "core/digest.h"
#include "core/error.h"

namespace athanor::data {
namespace {

/// Changes when the same options and shards would give other sequences.
constexpr int kOrderVersion = 1;

std::vector<double> weights_of(const LoaderOptions& options) {
  std::vector<double> weights;
  for (const LoaderSource& source : options.sources) weights.push_back(source.weight);
  return weights;
}

uint64_t sequences_to_hold(uint64_t num_tokens, uint64_t sequence_length) {
  return (num_tokens + sequence_length - 1) / sequence_length;
}

void check_options(const LoaderOptions& options) {
  if (options.sources.empty()) throw core::ConfigError("no data sources are given");
  if (options.sequence_length == 0 || options.sequence_length > uint64_t{1} << 31)
    throw core::ConfigError("sequence length {}: expected 1 to 2^31 tokens", options.sequence_length);
  for (const LoaderSource& source : options.sources)
    if (source.paths.empty()) throw core::ConfigError("a data source without a path");
}

/// Pieces may be many and short: one read buffer per thread is reused for all of them.
std::span<uint32_t> scratch(uint64_t count) {
  thread_local std::vector<uint32_t> buffer;
  if (buffer.size() < count) buffer.resize(count);
  return std::span(buffer).first(count);
}

}  // namespace

void Batch::clear() {
  tokens.clear();
  labels.clear();
  positions.clear();
  document_offsets.clear();
  sequences_of_source.clear();
  num_sequences = num_valid_labels = 0;
}

TokenDataset::TokenDataset(core::FileSystem& fs, LoaderOptions options)
    : options_(std::move(options)), pool_(std::make_unique<FilePool>(fs)) {
  check_options(options_);
  first_sample_of_source_.push_back(0);
  for (const LoaderSource& source : options_.sources) {
    sources_.push_back(std::make_unique<TokenSource>(*pool_, source.paths));
    const TokenStreamOptions stream_options{.shuffle = options_.shuffle,
                                            .seed = options_.seed,
                                            .name = fmt::format("source-{}", streams_.size())};
    streams_.push_back(std::make_unique<TokenStream>(*sources_.back(), stream_options));
    first_sample_of_source_.push_back(
        first_sample_of_source_.back() +
        sequences_to_hold(sources_.back()->num_tokens(), options_.sequence_length));
  }
  check_sources();
  if (options_.repeat) mix_ = std::make_unique<SourceMix>(weights_of(options_));
  fingerprint_ = compute_fingerprint();
}

void TokenDataset::check_sources() const {
  const ShardReader& first = sources_.front()->shards().front();
  for (const auto& source : sources_) {
    const ShardReader& shard = source->shards().front();
    if (shard.tokenizer_digest() != first.tokenizer_digest())
      throw core::DataError(
          "{} and {} were written with different tokenizers ({}, {}); build them again with one",
          first.path(), shard.path(), first.tokenizer_digest(), shard.tokenizer_digest());
    if (shard.vocabulary_size() > options_.vocabulary_size)
      throw core::ConfigError(
          "{}: its tokenizer has {} tokens, the model's vocabulary {}; set the model's vocabulary "
          "size to {} or more, or use the tokenizer the model was made for",
          shard.path(), shard.vocabulary_size(), options_.vocabulary_size, shard.vocabulary_size());
    if (options_.repeat && source->num_tokens() < options_.sequence_length)
      throw core::DataError(
          "{}: the source has {} tokens, less than one sequence of {}; add text or shorten the "
          "sequences",
          shard.path(), source->num_tokens(), options_.sequence_length);
  }
}

std::string TokenDataset::compute_fingerprint() const {
  core::Digest digest;
  const auto add = [&digest](const std::string& line) {
    digest.update(std::as_bytes(std::span(line.data(), line.size())));
  };
  add(fmt::format("order {} length {} seed {} shuffle {} repeat {}\n", kOrderVersion,
                  options_.sequence_length, options_.seed, options_.shuffle, options_.repeat));
  for (size_t i = 0; i < sources_.size(); ++i) {
    add(fmt::format("source weight {}\n", options_.sources[i].weight));
    for (const ShardReader& shard : sources_[i]->shards())
      add(fmt::format("shard {} {} {} {} {}\n", shard.tokenizer_digest(), shard.vocabulary_size(),
                      shard.content_digest(), shard.num_documents(), shard.num_tokens()));
  }
  return digest.hex();
}

uint64_t TokenDataset::num_tokens() const {
  return std::accumulate(sources_.begin(), sources_.end(), uint64_t{0},
                         [](uint64_t sum, const auto& source) { return sum + source->num_tokens(); });
}

uint64_t TokenDataset::num_documents() const {
  return std::accumulate(sources_.begin(), sources_.end(), uint64_t{0},
                         [](uint64_t sum, const auto& source) { return sum + source->num_documents(); });
}

uint64_t TokenDataset::num_sequences_per_epoch() const {
  return options_.repeat ? num_tokens() / options_.sequence_length : first_sample_of_source_.back();
}

const std::string& TokenDataset::tokenizer_digest() const {
  return sources_.front()->shards().front().tokenizer_digest();
}

SourcePlace TokenDataset::place_of(uint64_t sample) const {
  if (mix_) return mix_->place(sample);
  const auto after = std::upper_bound(first_sample_of_source_.begin(), first_sample_of_source_.end(), sample);
  const auto source_idx = static_cast<size_t>(after - first_sample_of_source_.begin()) - 1;
  return {source_idx, sample - first_sample_of_source_[source_idx]};
}

uint64_t TokenDataset::num_stored_tokens(const SourcePlace& place) const {
  if (options_.repeat) return options_.sequence_length;
  if (place.source_idx == sources_.size()) return 0;  // beyond the end of the pass
  const uint64_t first = place.index * options_.sequence_length;
  return std::min(options_.sequence_length, sources_[place.source_idx]->num_tokens() - first);
}

void TokenDataset::append_sequence(uint64_t sample, Batch& batch) const {
  const SourcePlace place = place_of(sample);
  const uint64_t num_stored = num_stored_tokens(place);
  if (batch.document_offsets.empty()) batch.document_offsets.push_back(0);
  batch.sequences_of_source.resize(sources_.size());
  if (num_stored > 0) {
    std::vector<Piece> pieces;
    streams_[place.source_idx]->find_pieces(place.index * options_.sequence_length, num_stored, pieces);
    for (const Piece& piece : pieces) append_piece(*sources_[place.source_idx], piece, batch);
    ++batch.sequences_of_source[place.source_idx];
  }
  append_padding(options_.sequence_length - num_stored, batch);
  ++batch.num_sequences;
}

void TokenDataset::append_piece(const TokenSource& source, const Piece& piece, Batch& batch) const {
  const std::span<uint32_t> tokens = scratch(piece.num_tokens);
  source.shards()[piece.shard_idx].read_tokens(piece.first_token, tokens);
  batch.tokens.insert(batch.tokens.end(), tokens.begin(), tokens.end());
  batch.labels.insert(batch.labels.end(), tokens.begin() + 1, tokens.end());
  batch.labels.push_back(kNoLabel);
  const size_t first = batch.positions.size();
  batch.positions.resize(first + piece.num_tokens);
  std::iota(batch.positions.begin() + static_cast<ptrdiff_t>(first), batch.positions.end(), int64_t{0});
  batch.document_offsets.push_back(static_cast<int64_t>(batch.tokens.size()));
  batch.num_valid_labels += static_cast<int64_t>(piece.num_tokens) - 1;
}

void TokenDataset::append_padding(uint64_t count, Batch& batch) const {
  if (count == 0) return;
  const size_t first = batch.positions.size();
  batch.tokens.resize(first + count, kPaddingToken);
  batch.labels.resize(first + count, kNoLabel);
  batch.positions.resize(first + count);
  std::iota(batch.positions.begin() + static_cast<ptrdiff_t>(first), batch.positions.end(), int64_t{0});
  batch.document_offsets.push_back(static_cast<int64_t>(batch.tokens.size()));
}

std::vector<SourceProgress> TokenDataset::progress(uint64_t num_samples) const {
  ATHANOR_CHECK(mix_ != nullptr, "progress of data that is read once");
  std::vector<SourceProgress> all;
  for (const uint64_t count : mix_->counts(num_samples)) {
    const auto num_tokens = static_cast<double>(count) * static_cast<double>(options_.sequence_length);
    all.push_back({count, num_tokens / static_cast<double>(sources_[all.size()]->num_tokens())});
  }
  return all;
}

void TokenDataset::prepare(uint64_t sample) const {
  if (!mix_) return;
  const std::vector<uint64_t> counts = mix_->counts(sample);
  for (size_t i = 0; i < counts.size(); ++i) streams_[i]->prepare(counts[i] * options_.sequence_length);
}

}  // namespace athanor::data
