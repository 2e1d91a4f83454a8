// The one report on a job that does not go on: which ranks are late and what they do instead, who waits for
// them in which call, the first call that the ranks made differently, and what cannot be known from here.
// Reads slots of the progress board, changes nothing, needs no answer from a rank that is stuck.
#pragma once

#include <string>
#include <vector>

#include "parallel/process_state.h"
#include "parallel/progress_board.h"

namespace athanor::parallel {

struct RankView {
  const BoardSlot* slot = nullptr;  ///< null: nothing is known of this rank
  std::string host;
  ProcessState process = ProcessState::kUnknown;
};

struct StallView {
  std::vector<RankView> ranks;                 ///< by world rank
  const std::vector<std::string>& axis_names;  ///< by axis_idx
  int64_t now_ns = 0;
  /// Waits that are younger than this are not held against anybody.
  double min_wait_s = 0;
};

/// Some lines, each about one thing, without a newline at the end.
std::string stall_report(const StallView& view);

/// World ranks that others wait for and that wait for nobody themselves, and those that are stopped or gone.
std::vector<int> late_ranks(const StallView& view);

/// "world ranks 0-2, 5".
std::string describe_ranks(const std::vector<int>& world_ranks);

/// "step 5, block 2, backward".
std::string describe_place(const Place& place);

}  // namespace athanor::parallel
