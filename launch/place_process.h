// Puts this process on its share of the machine's cores.
#pragma once

#include "parallel/session.h"

namespace athanor::launch {

struct PlacementOptions {
  bool may_pin = true;
  int64_t threads = 0;  ///< compute threads; 0: as many as the share has cores
};

/// Pins the calling thread and all that it starts later, and sets the number of compute threads. Every rank
/// of the session calls it.
void place_process(parallel::Session& session, const PlacementOptions& options);

}  // namespace athanor::launch
