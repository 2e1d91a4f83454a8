#include "parallel/mesh.h"

#include <cstdint>

#include "core/error.h"

namespace athanor::parallel {
namespace {

void check_degree(const char* name, int degree) {
  if (degree < 1) throw core::ConfigError("parallel.{} is {}: a degree is 1 or more", name, degree);
}

int data_degree(const MeshDegrees& degrees, int world_size) {
  if (degrees.data < 0)
    throw core::ConfigError("parallel.data is {}: a degree is 1 or more, or auto", degrees.data);
  const int64_t others = int64_t{degrees.pipeline} * degrees.context * degrees.tensor;
  if (degrees.data == 0 && world_size % others != 0)
    throw core::ConfigError(
        "{} ranks cannot be divided by parallel.pipeline {} * context {} * tensor {} = {}: start a multiple "
        "of {} ranks "
        "or change a degree",
        world_size, degrees.pipeline, degrees.context, degrees.tensor, others, others);
  if (degrees.data == 0) return static_cast<int>(world_size / others);
  if (others * degrees.data != world_size)
    throw core::ConfigError(
        "parallel.pipeline {} * data {} * context {} * tensor {} = {} ranks, but {} are running: start {} "
        "ranks or set "
        "parallel.data to auto",
        degrees.pipeline, degrees.data, degrees.context, degrees.tensor, others * degrees.data, world_size,
        others * degrees.data);
  return degrees.data;
}

}  // namespace

std::string_view name_of(Axis axis) {
  switch (axis) {
    case Axis::kPipeline:
      return "pipeline";
    case Axis::kData:
      return "data";
    case Axis::kContext:
      return "context";
    case Axis::kTensor:
      return "tensor";
    case Axis::kReplica:
      return "replica";
    case Axis::kExpert:
      return "expert";
    case Axis::kExpertReplica:
      return "expert_replica";
    case Axis::kToken:
      return "token";
    case Axis::kExpertToken:
      return "expert_token";
  }
  throw core::InternalError("axis {}", static_cast<int>(axis));
}

Mesh::Mesh(const MeshDegrees& degrees, int world_size) : degrees_(degrees), world_size_(world_size) {
  ATHANOR_CHECK(world_size >= 1, "a world of {} ranks", world_size);
  check_degree("pipeline", degrees.pipeline);
  check_degree("context", degrees.context);
  check_degree("expert", degrees.expert);
  check_degree("tensor", degrees.tensor);
  degrees_.data = data_degree(degrees, world_size);
  const int replicas = degrees_.data * degrees_.context;
  if (replicas % degrees_.expert != 0)
    throw core::ConfigError(
        "parallel.expert {} does not divide parallel.data {} * context {} = {}: experts are spread over the "
        "ranks that "
        "hold the same dense weights",
        degrees_.expert, degrees_.data, degrees_.context, replicas);
}

int Mesh::degree(Axis axis) const {
  const int replicas = degrees_.data * degrees_.context;
  switch (axis) {
    case Axis::kPipeline:
      return degrees_.pipeline;
    case Axis::kData:
      return degrees_.data;
    case Axis::kContext:
      return degrees_.context;
    case Axis::kTensor:
      return degrees_.tensor;
    case Axis::kReplica:
      return replicas;
    case Axis::kExpert:
      return degrees_.expert;
    case Axis::kExpertReplica:
      return replicas / degrees_.expert;
    case Axis::kToken:
      return replicas * degrees_.tensor;
    case Axis::kExpertToken:
      return replicas / degrees_.expert * degrees_.tensor;
  }
  throw core::InternalError("axis {}", static_cast<int>(axis));
}

int Mesh::stride(Axis axis) const {
  switch (axis) {
    case Axis::kTensor:
    case Axis::kToken:
      return 1;
    case Axis::kContext:
    case Axis::kReplica:
    case Axis::kExpert:
      return degrees_.tensor;
    case Axis::kExpertReplica:
      return degrees_.tensor * degrees_.expert;
    case Axis::kData:
      return degrees_.tensor * degrees_.context;
    case Axis::kPipeline:
      return degrees_.tensor * degrees_.context * degrees_.data;
    case Axis::kExpertToken:
      break;
  }
  throw core::InternalError("axis {}", static_cast<int>(axis));
}

int Mesh::index(Axis axis, int rank) const {
  ATHANOR_CHECK(rank >= 0 && rank < world_size_, "rank {} of {}", rank, world_size_);
  if (axis == Axis::kExpertToken)
    return index(Axis::kExpertReplica, rank) * degrees_.tensor + index(Axis::kTensor, rank);
  return rank / stride(axis) % degree(axis);
}

std::vector<int> Mesh::group(Axis axis, int rank) const {
  if (axis == Axis::kExpertToken) return expert_token_group(rank);
  std::vector<int> ranks(degree(axis));
  const int first = rank - index(axis, rank) * stride(axis);
  for (int i = 0; i < degree(axis); ++i) ranks[i] = first + i * stride(axis);
  return ranks;
}

std::vector<int> Mesh::expert_token_group(int rank) const {
  std::vector<int> ranks;
  for (const int replica : group(Axis::kExpertReplica, rank))
    for (const int peer : group(Axis::kTensor, replica)) ranks.push_back(peer);
  return ranks;
}

MeshCoordinates Mesh::coordinates(int rank) const {
  return {index(Axis::kPipeline, rank), index(Axis::kData, rank), index(Axis::kContext, rank),
          index(Axis::kTensor, rank)};
}

int Mesh::rank_at(const MeshCoordinates& at) const {
  const int rank = at.pipeline * stride(Axis::kPipeline) + at.data * stride(Axis::kData) +
                   at.context * stride(Axis::kContext) + at.tensor;
  ATHANOR_CHECK(rank >= 0 && rank < world_size_ && coordinates(rank) == at,
                "coordinates (pipeline {}, data {}, context {}, tensor {}) lie outside the mesh", at.pipeline,
                at.data, at.context, at.tensor);
  return rank;
}

}  // namespace athanor::parallel
