#include "parallel/mesh_communicators.h"

#include <string>

#include "core/error.h"

namespace athanor::parallel {

MeshCommunicators::MeshCommunicators(Session& session, const Mesh& mesh) {
  ATHANOR_CHECK(mesh.world_size() == session.size(), "a mesh of {} ranks in a session of {}",
                mesh.world_size(), session.size());
  for (const Axis axis : kAllAxes)
    communicators_[static_cast<size_t>(axis)] =
        session.split(std::string(name_of(axis)), mesh.group(axis, session.rank()));
}

}  // namespace athanor::parallel
