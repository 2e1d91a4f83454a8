// The last calls of one rank as JSON lines, for a file: written when a job fails, by whichever rank of the
// machine can (the slot is shared memory), so that a stopped or killed rank has one too.
//
// The first line describes the rank: {"rank","host","process","state","step","block","phase","written_by",
// "time","num_calls","reason"}. Every further line is a call, oldest first: {"call","axis","verb","number",
// "bytes","step","block","phase","begin","wait","end","state"}, times in seconds since 1970 (null: not yet),
// state "done", "waiting" or "open" (begun, not waited for).
#pragma once

#include <string>
#include <vector>

#include "parallel/stall_report.h"

namespace athanor::parallel {

struct FlightFacts {
  int world_rank = 0;
  int written_by = 0;  ///< world rank
  std::string reason;  ///< why it is written
};

std::string flight_record(const RankView& rank, const FlightFacts& facts,
                          const std::vector<std::string>& axis_names);

/// "flight-00003.json".
std::string flight_file_name(int world_rank);

}  // namespace athanor::parallel
