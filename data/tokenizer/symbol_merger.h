// Applies BPE merges to the symbols of one word.
#pragma once

#include <cstdint>
#include <vector>

#include "data/tokenizer/flat_map.h"

namespace athanor::data::tokenizer {

/// What a pair of neighbours becomes; lower ranks go first.
struct Merge {
  uint32_t rank;
  uint32_t new_id;
};
using MergeMap = FlatMap<Merge>;  ///< by pair_key(left id, right id)

/// Merges the symbols of `ids` from index `begin` on until no merge applies: always the lowest rank, the
/// leftmost of equal ones. Time n log n in the number of symbols n.
void merge_symbols(const MergeMap& merges, std::vector<uint32_t>& ids, size_t begin);

}  // namespace athanor::data::tokenizer
