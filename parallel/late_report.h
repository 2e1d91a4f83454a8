// What one rank says of a call of its own that did not complete in time, or that another rank made otherwise.
// The report on the whole job is stall_report.h.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "parallel/progress_board.h"

namespace athanor::parallel {

struct StuckCall {
  BoardCall call;
  double idle_s = 0;          ///< since anything arrived
  std::set<int> owing_ranks;  ///< ranks of the axis whose part of the transfer is still open
};

struct StuckGroup {
  const std::vector<int>& world_ranks;         ///< of the axis
  const std::vector<std::string>& axis_names;  ///< by axis_idx
  int rank = 0;                                ///< who waits
  const ProgressBoard* board = nullptr;        ///< may be null: nothing is known of the others
};

/// Names at most eight ranks, in the order of the axis, and how many more there are.
std::string late_report(const StuckGroup& group, const StuckCall& stuck);

/// The first rank of the group that made this collective with another verb, number of bytes, root or
/// operation, and both calls; nothing when no such rank can be seen (yet).
std::optional<std::string> disagreement(const StuckGroup& group, const BoardCall& call);

/// "rank 3 (world rank 11)".
std::string name_of_rank(int rank, const std::vector<int>& world_ranks);

/// "all_gather #17 on axis data (4096 bytes)".
std::string describe_call(const BoardCall& call, const std::vector<std::string>& axis_names);

}  // namespace athanor::parallel
