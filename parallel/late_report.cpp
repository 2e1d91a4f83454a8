#include "parallel/late_report.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

namespace athanor::parallel {
namespace {

constexpr size_t kMaxRanksNamed = 8;

std::string describe_call(const StuckGroup& group, const BoardCall& call) {
  return fmt::format("{} #{} on axis {}", name_of(call.verb), call.sequence,
                     group.axis_names.at(call.axis_idx));
}

// One clause about a peer that may be the reason; empty when there is nothing against it.
std::string describe_peer(const StuckGroup& group, const StuckCall& stuck, int r) {
  const int world_rank = group.world_ranks[r];
  const std::string peer = name_of_rank(r, group.world_ranks);
  const bool owes_data = stuck.owing_ranks.count(r) > 0;
  const auto reached =
      group.board ? group.board->last_collective(world_rank, stuck.call.axis_idx) : std::nullopt;
  if (!reached) return owes_data ? peer + " has not answered (it is on another machine)" : "";
  const auto last = group.board->last_call(world_rank);
  const std::string doing =
      last ? "its last call is " + describe_call(group, *last) : "it has made no call yet";
  const bool is_numbered = is_collective(stuck.call.verb);
  if (is_numbered && reached->sequence < stuck.call.sequence)
    return fmt::format("{} has not arrived: {}", peer, doing);
  if (is_numbered && reached->sequence == stuck.call.sequence && reached->verb != stuck.call.verb)
    return fmt::format("{} disagrees: it called {}", peer, describe_call(group, *reached));
  return owes_data ? fmt::format("{} did not complete its part: {}", peer, doing) : "";
}

std::string describe_peers(const StuckGroup& group, const StuckCall& stuck) {
  std::vector<std::string> clauses;
  size_t num_more = 0;
  for (int r = 0; r < static_cast<int>(group.world_ranks.size()); ++r) {
    std::string clause = r == group.rank ? "" : describe_peer(group, stuck, r);
    if (clause.empty()) continue;
    if (clauses.size() < kMaxRanksNamed)
      clauses.push_back(std::move(clause));
    else
      ++num_more;
  }
  if (clauses.empty()) return "every rank that can be seen from here has entered it";
  if (num_more > 0) clauses.push_back(fmt::format("and {} more ranks", num_more));
  return fmt::format("{}", fmt::join(clauses, "; "));
}

}  // namespace

std::string name_of_rank(int rank, const std::vector<int>& world_ranks) {
  return fmt::format("rank {} (world rank {})", rank, world_ranks[rank]);
}

std::string late_report(const StuckGroup& group, const StuckCall& stuck) {
  return fmt::format(
      "{}: nothing arrived for {:.1f} s at rank {} of {} (world rank {}); {}; see the log of the late rank, "
      "or allow "
      "more time if it is only slow",
      describe_call(group, stuck.call), stuck.idle_s, group.rank, group.world_ranks.size(),
      group.world_ranks[group.rank], describe_peers(group, stuck));
}

}  // namespace athanor::parallel
