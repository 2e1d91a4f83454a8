// Attention whose matrix products run on tile hardware: 128 rows of queries against 128 keys at a time, keys
// in blocks aligned to the start of their document. Scores, their softmax and all sums are fp32;
// probabilities and gradients of scores are rounded to bf16 before they are multiplied, as flash attention
// does it.
//
// A query's bits depend on nothing but its own row and the keys that it sees: every product that sums over
// keys sums whole blocks (unseen keys count as zeros), every product that gives scores sums the whole head
// size, and rows are padded with zeros to a multiple of the engine's 16. So decoding with a cache gives the
// bits of training. Gradients of keys and values sum over query rows in ascending order, tile by tile; how
// the work is cut for the threads does not show.
//
// Keys and values are brought into the engine's order once per piece of work for up to 1,024 rows of queries,
// rows of queries once per up to 1,024 keys.
#pragma once

#include <vector>

#include "kernels/cpu/attention_heads.h"
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/tile_engine.h"

namespace athanor::kernels::cpu {

void run_in_tiles(const AttentionShape& shape, const std::vector<Sequence<Bf16>>& sequences,
                  const TileEngine& engine);

void run_in_tiles(const AttentionShape& shape, const std::vector<GradientDocument<Bf16>>& documents,
                  const TileEngine& engine);

}  // namespace athanor::kernels::cpu
