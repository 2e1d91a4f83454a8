// Short texts that rank 0 decides and every rank must know (a path, an id).
#pragma once

#include <string>

#include "parallel/communicator.h"

namespace athanor::trainer {

/// Rank 0's text. Collective.
std::string broadcast_text(const std::string& text, parallel::Communicator& world);

}  // namespace athanor::trainer
