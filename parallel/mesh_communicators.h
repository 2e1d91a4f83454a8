// One communicator per axis of the mesh, for this rank.
#pragma once

#include <array>
#include <memory>

#include "parallel/communicator.h"
#include "parallel/mesh.h"
#include "parallel/session.h"

namespace athanor::parallel {

class MeshCommunicators {
 public:
  /// Every rank of the session calls it. An axis of degree 1 gets a SelfCommunicator.
  MeshCommunicators(Session& session, const Mesh& mesh);
  Communicator& operator[](Axis axis) { return *communicators_[static_cast<size_t>(axis)]; }

 private:
  std::array<std::unique_ptr<Communicator>, kNumAxes> communicators_;
};

}  // namespace athanor::parallel
