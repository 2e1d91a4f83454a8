// A tile engine in plain C++, for tests and measurements on machines without tile hardware.
#pragma once

#include "kernels/cpu/tile_engine.h"

namespace athanor::kernels::reference {

/// Sums k in ascending order, one chain per element.
const cpu::TileEngine& tile_engine();

}  // namespace athanor::kernels::reference
