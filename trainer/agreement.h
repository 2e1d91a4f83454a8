// Decisions that every rank must make alike: each says what it sees, all learn what any of them saw.
#pragma once

#include "parallel/communicator.h"

namespace athanor::trainer {

/// What a rank sees after a step.
struct Observation {
  bool stop_requested = false;  ///< a signal arrived
  bool save_is_due = false;     ///< by this rank's clock
  bool writer_is_busy = false;
  bool writer_failed = false;
};

/// True where it is true on any rank. Collective.
Observation agree(const Observation& mine, parallel::Communicator& world);

}  // namespace athanor::trainer
