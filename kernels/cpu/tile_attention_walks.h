// How the backward pass of attention on tiles is cut for the threads. Results do not depend on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/cpu/attention_heads.h"

namespace athanor::kernels::cpu {

/// Ranges of row tiles and of key blocks of one key/value head of one document, and whose gradients are
/// wanted.
struct Walk {
  size_t document;
  int64_t group, tile_begin, tile_end, block_begin, block_end;
  bool wants_queries, wants_keys;
  int64_t cost;
};

/// Rounds of walks that may run side by side, for documents of these lengths: one walk per head over
/// everything; or, when there are too few heads for the threads, walks over key blocks, then walks over row
/// tiles (which compute scores twice).
std::vector<std::vector<Walk>> plan_walks(const AttentionShape& shape, const std::vector<int64_t>& lengths);

}  // namespace athanor::kernels::cpu
