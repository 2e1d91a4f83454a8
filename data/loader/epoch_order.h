// The order of a source's documents in one epoch, and where each stretch of that order starts.
//
// Shuffled, the order is one keyed random permutation of ALL documents of the source: any document may follow
// any other, wherever they lie. The permutation is computed, not stored; what is stored is the number of
// tokens before every kDocumentsPerGroup-th document of the order, 8 bytes for 256 documents: 31 MB for a
// billion documents. Building it reads the document offsets once, from front to back.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/rng.h"
#include "data/loader/token_source.h"

namespace athanor::data {

/// A stretch of the order: consecutive documents, and the token of the epoch at which each starts.
struct DocumentGroup {
  uint64_t group_idx = 0;
  std::vector<DocumentPlace> documents;
  std::vector<uint64_t>
      first_tokens;  ///< [documents + 1], tokens of the epoch before each; the last: after them all
};

/// Immutable once built; thread-safe.
class EpochOrder {
 public:
  static constexpr uint64_t kDocumentsPerGroup = 256;

  /// Runs body(i) for all i in [0, count), in any order, on any threads: how building is spread.
  using ForEach = std::function<void(int64_t count, const std::function<void(int64_t)>& body)>;

  /// `key` names the epoch and the source; without a key documents stay in file order. `is_cancelled` may
  /// turn true from another thread: building then ends early and the order must not be used. Throws
  /// DataError, IoError.
  EpochOrder(const TokenSource& source, const std::optional<std::string>& key, uint64_t seed,
             const ForEach& for_each, const std::atomic<bool>& is_cancelled);

  /// The group that holds token `token` of the epoch. Requires token < source.num_tokens().
  uint64_t group_of(uint64_t token) const;
  /// Throws DataError when the files disagree with what was counted (they changed), IoError.
  std::shared_ptr<const DocumentGroup> load_group(uint64_t group_idx) const;

 private:
  uint64_t document_at(uint64_t position) const {
    return permutation_ ? permutation_->at(position) : position;
  }
  uint64_t position_of(uint64_t document) const {
    return permutation_ ? permutation_->index_of(document) : document;
  }
  void count_tokens(const ForEach& for_each, const std::atomic<bool>& is_cancelled);

  const TokenSource& source_;
  std::optional<core::RandomPermutation> permutation_;
  std::vector<uint64_t> first_token_;  ///< [num_groups + 1] tokens of the epoch before each group
};

}  // namespace athanor::data
