// Over which ranks the work of one block is spread.
#pragma once

#include "model/parameter.h"
#include "parallel/communicator.h"

namespace athanor::model {

/// What a block knows of parallelism: the ranks it shares a micro batch with, and the ranks among which the
/// experts of a layer are divided. An axis of one rank is an object like any other
/// (parallel::SelfCommunicator).
struct Axes {
  parallel::Communicator* tensor = nullptr;
  parallel::Communicator* expert = nullptr;
  /// The ranks among which the width of every expert is cut: those of the tensor axis, or this one alone.
  parallel::Communicator* expert_width = nullptr;

  /// What tensor parallelism leaves this rank.
  Share tensor_share() const { return {tensor->rank(), tensor->size()}; }
};

}  // namespace athanor::model
