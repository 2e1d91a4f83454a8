// The sentence about a call that did not complete in time: which call, who waits, and who is the reason.
#pragma once

#include <cstdint>
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

/// "rank 3 (world rank 11)".
std::string name_of_rank(int rank, const std::vector<int>& world_ranks);

}  // namespace athanor::parallel
