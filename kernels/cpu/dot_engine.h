// The block product of tile_engine.h on processors without tiles that have AVX-512's dot products of bf16
// pairs (AVX512_BF16: Cooper Lake, Zen 4 and later).
#pragma once

#include "kernels/cpu/tile_engine.h"

namespace athanor::kernels::cpu {

/// Null when this processor has no such instruction.
const TileEngine* dot_engine();

}  // namespace athanor::kernels::cpu
