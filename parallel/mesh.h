// Which rank does what: pure arithmetic over the degrees of every axis, without MPI, for any number of ranks.
//
// World ranks count through the axes with tensor fastest, then context, data, pipeline:
//     rank = ((pipeline_idx * data + data_idx) * context + context_idx) * tensor + tensor_idx
// so that tensor groups, which talk most, are neighbours on one machine.
//
// Ranks that differ in data or context only hold the same dense weights; together they are the *replica* axis
// (replica_idx = data_idx * context + context_idx), over which ZeRO shards dense parameters and gradients are
// reduced. Experts are folded into it: the expert degree divides data * context, and expert_idx = replica_idx
// % expert, expert_replica_idx = replica_idx / expert. The *expert replica* axis is over which ZeRO shards
// expert parameters. Expert is the fast part for two reasons: dispatch stays on one machine as far as it can,
// and the gradient of an expert, summed over the micro batches of its expert group first and over expert
// replicas next, is the same binary tree as a sum over the whole replica axis, so that the bits do not depend
// on the expert degree.
//
// The ranks of a tensor group share a micro batch; between blocks each holds a part of its tokens (sequence
// parallelism). Parameters that tensor parallelism does not cut (norms, the router) are therefore held alike
// on all ranks that see different tokens: the *token* axis, replica * tensor, tensor fastest. For experts
// that are not cut it is the *expert token* axis, expert replica * tensor.
#pragma once

#include <array>
#include <string_view>
#include <vector>

namespace athanor::parallel {

struct MeshDegrees {
  int pipeline = 1;
  int data = 1;  ///< 0: what the other degrees leave of the world
  int context = 1;
  int expert = 1;
  int tensor = 1;
};

enum class Axis {
  kPipeline,
  kData,
  kContext,
  kTensor,
  kReplica,
  kExpert,
  kExpertReplica,
  kToken,
  kExpertToken
};
constexpr int kNumAxes = 9;
constexpr std::array<Axis, kNumAxes> kAllAxes = {Axis::kPipeline,      Axis::kData,    Axis::kContext,
                                                 Axis::kTensor,        Axis::kReplica, Axis::kExpert,
                                                 Axis::kExpertReplica, Axis::kToken,   Axis::kExpertToken};
std::string_view name_of(Axis axis);

struct MeshCoordinates {
  int pipeline = 0, data = 0, context = 0, tensor = 0;
  bool operator==(const MeshCoordinates&) const = default;
};

class Mesh {
 public:
  /// Throws ConfigError naming both numbers: a degree below 1, degrees whose product is not `world_size`, an
  /// expert degree that does not divide data * context.
  Mesh(const MeshDegrees& degrees, int world_size);

  int world_size() const { return world_size_; }
  int degree(Axis axis) const;
  MeshCoordinates coordinates(int rank) const;
  int rank_at(const MeshCoordinates& coordinates) const;
  /// Position of `rank` in its group of `axis`.
  int index(Axis axis, int rank) const;
  /// World ranks of the group of `axis` that holds `rank`, in the order of the axis.
  std::vector<int> group(Axis axis, int rank) const;

 private:
  /// Moving one step along `axis` is so many world ranks further, `degree(axis)` times. Every axis is regular
  /// but the expert token axis, which is made of two.
  int stride(Axis axis) const;
  std::vector<int> expert_token_group(int rank) const;
  MeshDegrees degrees_;
  int world_size_;
};

}  // namespace athanor::parallel
