// The vector code between the tile products of attention (tile_attention.h): from the scores of some rows of
// queries against one block of keys to probabilities, and to gradients of the scores, in bf16 and in the
// order in which the next product wants them. Single-threaded, best instruction set of this processor.
//
// Exponentials are powers of two: scores are multiplied by softmax_scale · log2(e), and largest scores and
// log-sum-exps are kept in those units. As in attention_tile.h, what a row gives depends on its own values
// only, and keys that it does not see contribute an exact zero.
//
// Split order. Two registers of 16 lanes are rounded into one of 32 bf16 values, lane by lane: inside every
// 32 keys of a row, key i lies beside key i + 16. So the product's other operand pairs the same two.
#pragma once

#include <cstdint>

#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/tile_packing.h"

namespace athanor::kernels::cpu {

constexpr int64_t kBlockKeys = 128;
constexpr int64_t kHalfBlockKeys = 64;  // what one call of the engine gives
constexpr int64_t kSplitKeys = kSplitDepth;

struct BlockScores {
  int64_t num_rows;
  float* scores;            ///< [num_rows][kBlockKeys], bare inner products; those of unseen keys are junk
  const KeyRange* visible;  ///< [num_rows], or null: every row sees every key
  float scale;              ///< softmax_scale · log2(e)
};

/// num_rows is even; rows 2i and 2i + 1 are side by side in p_pairs and ds_pairs.
struct BlockGradients {
  const float* dp;           ///< [num_rows][kBlockKeys]; those of unseen keys are any numbers
  const float *lse, *delta;  ///< [num_rows], lse · log2(e)
  Bf16 *p_pairs, *ds_pairs;  ///< [2 halves of the keys][..][kHalfBlockKeys][2], from the first row on
  int64_t half_stride;       ///< elements from half to half
  Bf16* ds;                  ///< [num_rows][kBlockKeys] in split order
};

struct TileSoftmaxTable {
  /// p [num_rows][kBlockKeys], in split order, = 2^(scale · score - largest), after raising `largest` and
  /// rescaling sums and outputs for it.
  void (*forward)(const BlockScores& block, const RunningSoftmax& running, Bf16* p);
  /// p = 2^(scale · score - lse) and ds = p · (dp - delta); the factor softmax_scale is left to whoever
  /// finishes the sums.
  void (*backward)(const BlockScores& block, const BlockGradients& gradients);
  /// out = row · factor.
  void (*narrow_row)(Bf16* out, const float* row, float factor, int64_t size);
};

/// The table of this processor.
const TileSoftmaxTable& tile_softmax_table();

namespace avx512 {
extern const TileSoftmaxTable kTileSoftmax;
}
namespace avx2 {
extern const TileSoftmaxTable kTileSoftmax;
}
namespace portable {
extern const TileSoftmaxTable kTileSoftmax;
}

}  // namespace athanor::kernels::cpu
