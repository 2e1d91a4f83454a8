#include "parallel/mesh_communicators.h"

#include <string>

#include "core/error.h"
#include "parallel/self_communicator.h"

namespace athanor::parallel {

MeshCommunicators::MeshCommunicators(Session& session, const Mesh& mesh) {
  ATHANOR_CHECK(mesh.world_size() == session.size(), "a mesh of {} ranks in a session of {}",
                mesh.world_size(), session.size());
  for (const Axis axis : kAllAxes) {
    const std::string name(name_of(axis));
    auto& communicator = communicators_[static_cast<size_t>(axis)];
    if (mesh.degree(axis) == 1)
      communicator = std::make_unique<SelfCommunicator>(name);
    else
      communicator = session.split(name, mesh.group(axis, session.rank()));
  }
}

}  // namespace athanor::parallel
