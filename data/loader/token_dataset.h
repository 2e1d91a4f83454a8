// The training (or validation) data as a function: sequence(i) depends on the options, the shards' content
// and i, and on nothing else: no rank, no thread, no history. The position of a run is therefore one number,
// the samples consumed.
//
// Repeating data (training): every source is an endless stream of its documents, newly shuffled each epoch
// (epoch_order.h), cut into sequences of exactly `sequence_length` tokens; the sources take turns by weight
// (source_mix.h). A document that is cut at the end of a sequence goes on in that source's next sequence as a
// new piece. Over an epoch of a source every token is an input exactly once.
//
// Data read once (validation): the sources one after the other in file order, unweighted; the last sequence
// of a source is filled up with padding, and any sample beyond the end is all padding, so that every rank can
// take the same number of batches.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/file_system.h"
#include "data/loader/source_mix.h"
#include "data/loader/token_source.h"
#include "data/loader/token_stream.h"

namespace athanor::data {

/// The label of a position that predicts nothing (same value as in the loss kernels).
constexpr int64_t kNoLabel = -100;
/// The token of padding; any id of the vocabulary would do, since nothing attends to it and it has no label.
constexpr int64_t kPaddingToken = 0;

struct LoaderSource {
  std::vector<std::string> paths = {};  ///< `*` and `?` allowed
  double weight = 1.0;                  ///< share of the sequences, relative to the other sources
};

struct LoaderOptions {
  std::vector<LoaderSource> sources = {};
  uint64_t sequence_length = 0;
  uint64_t seed = 0;
  bool shuffle = true;  ///< a new order of all documents of a source each epoch; otherwise file order
  bool repeat = true;   ///< epoch after epoch, mixed by weight; otherwise one pass, in order
  uint64_t vocabulary_size = 0;  ///< of the model
};

/// Packed sequences, one after the other. A piece is a run of tokens of one document inside one sequence;
/// tokens attend within their piece only.
struct Batch {
  std::vector<int64_t> tokens;     ///< [num_sequences * sequence_length]
  std::vector<int64_t> labels;     ///< the next token of the piece; kNoLabel at its end and in padding
  std::vector<int64_t> positions;  ///< 0, 1, … within each piece
  std::vector<int64_t>
      document_offsets;  ///< ascending piece boundaries over the whole batch, first 0, last its size
  int64_t num_sequences = 0;
  int64_t num_valid_labels = 0;
  std::vector<int64_t> sequences_of_source;  ///< [num_sources]; sequences of padding alone belong to none

  void clear();
};

/// How far into a source a run has come.
struct SourceProgress {
  uint64_t num_sequences = 0;
  double num_epochs = 0;
};

/// Thread-safe.
class TokenDataset {
 public:
  /// Throws ConfigError (weights, sequence length, a model vocabulary smaller than the tokenizer's),
  /// MissingInputError (nothing matches), DataError (bad shards, different tokenizers; repeating: a source
  /// shorter than one sequence), IoError.
  TokenDataset(core::FileSystem& fs, LoaderOptions options);

  const LoaderOptions& options() const { return options_; }
  uint64_t num_sources() const { return sources_.size(); }
  uint64_t num_tokens() const;
  uint64_t num_documents() const;
  /// Sequences that hold as many tokens as all sources together: rounded down when repeating (at least 1);
  /// otherwise the length of the pass.
  uint64_t num_sequences_per_epoch() const;
  const std::string& tokenizer_digest() const;

  /// A digest of all that decides the sequences: options, tokenizer, shard contents in order. Paths do not
  /// count.
  const std::string& fingerprint() const { return fingerprint_; }

  /// Appends sequence `sample` to the batch. Throws DataError (a token outside the vocabulary, files
  /// changed), IoError.
  void append_sequence(uint64_t sample, Batch& batch) const;

  /// Progress of each source after the first `num_samples` sequences. Requires repeating data.
  std::vector<SourceProgress> progress(uint64_t num_samples) const;

  /// Makes reading at `sample` and after start at once, using all compute threads. Optional.
  void prepare(uint64_t sample) const;

 private:
  SourcePlace place_of(uint64_t sample) const;
  uint64_t num_stored_tokens(const SourcePlace& place) const;
  void append_piece(const TokenSource& source, const Piece& piece, Batch& batch) const;
  void append_padding(uint64_t count, Batch& batch) const;
  void check_sources() const;
  std::string compute_fingerprint() const;

  LoaderOptions options_;
  std::unique_ptr<FilePool> pool_;
  std::vector<std::unique_ptr<TokenSource>> sources_;
  std::vector<std::unique_ptr<TokenStream>> streams_;
  std::unique_ptr<SourceMix> mix_;                ///< repeating data
  std::vector<uint64_t> first_sample_of_source_;  ///< data read once: [num_sources + 1]
  std::string fingerprint_;
};

}  // namespace athanor::data
