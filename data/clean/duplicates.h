// Which documents are duplicates of earlier ones: a deterministic function of all signatures in input order,
// so that the answer does not depend on how many processes or threads made them.
//
// Exact: the same 128-bit digest as an earlier document. Near, among the rest: per band, documents with the
// same band hash form a bucket; walking a bucket in input order, each document is compared (by sketch) with
// the bucket's leaders, joins the first that is similar enough, or becomes a leader itself (at most
// kMaxLeaders per bucket are kept). Joined documents form clusters over all bands; the earliest of a cluster
// is kept.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "configs/clean_config.h"

namespace athanor::clean {

inline constexpr size_t kMaxLeaders = 64;

/// Columns over all documents, in input order. 16 + 8 bands + bands x rows bytes per document; the texts are
/// not needed.
struct SignatureTable {
  size_t num_bands = 0, num_hashes = 0;
  std::vector<std::array<uint64_t, 2>> digests;
  std::vector<uint64_t> bands;    ///< [document][band]
  std::vector<uint8_t> sketches;  ///< [document][hash]

  size_t size() const { return digests.size(); }
  std::span<const uint8_t> sketch(size_t document) const {
    return std::span(sketches).subspan(document * num_hashes, num_hashes);
  }
};

/// For every document, the earliest of its cluster (itself when it is kept).
struct Duplicates {
  std::vector<uint32_t> exact_of;  ///< by digest
  std::vector<uint32_t> near_of;   ///< by similarity; for an exact duplicate, itself
};

/// Runs on the compute threads. Throws DataError beyond 2^32 - 1 documents.
Duplicates find_duplicates(const SignatureTable& table, const configs::CleanDuplicates& options);

/// Sets of documents, joined pair by pair; the representative is the smallest member.
class UnionFind {
 public:
  explicit UnionFind(size_t size);
  void join(uint32_t a, uint32_t b);
  uint32_t find(uint32_t member);

 private:
  std::vector<uint32_t> parent_;
};

}  // namespace athanor::clean
