#include "parallel/late_report.h"

#include <array>

#include <fmt/core.h>
#include <fmt/ranges.h>

namespace athanor::parallel {
namespace {

constexpr size_t kMaxRanksNamed = 8;

std::string describe_detail(const BoardCall& call) {
  constexpr std::array<std::string_view, 3> kOperations = {"sum", "max", "min"};
  const auto detail = static_cast<size_t>(call.detail);
  switch (call.verb) {
    case Verb::kAllReduce:
      return detail < kOperations.size() ? fmt::format(", {}", kOperations[detail]) : "";
    case Verb::kBroadcast:
      return fmt::format(" from rank {}", call.detail);
    case Verb::kSend:
      return fmt::format(" to rank {}", call.detail);
    case Verb::kRecv:
      return fmt::format(" from rank {}", call.detail);
    default:
      return "";
  }
}

std::string describe_newest(const StuckGroup& group, const BoardSlot& slot) {
  const auto last = newest_call(slot);
  return last ? "its last call is " + describe_call(last->call, group.axis_names) : "it has made no call yet";
}

// One clause about a peer that may be the reason; empty when there is nothing against it.
std::string describe_peer(const StuckGroup& group, const StuckCall& stuck, int r) {
  const std::string peer = name_of_rank(r, group.world_ranks);
  const bool owes_data = stuck.owing_ranks.count(r) > 0;
  const BoardSlot* slot = group.board ? group.board->slot_of(group.world_ranks[r]) : nullptr;
  if (!slot) return owes_data ? peer + " has not answered (it is on another machine)" : "";
  const bool is_numbered = is_collective(stuck.call.verb);
  if (is_numbered && num_collectives(*slot, stuck.call.axis_idx) < stuck.call.sequence)
    return fmt::format("{} has not arrived: {}", peer, describe_newest(group, *slot));
  return owes_data ? fmt::format("{} did not complete its part: {}", peer, describe_newest(group, *slot))
                   : "";
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

std::string describe_waiter(const StuckGroup& group) {
  return fmt::format("rank {} of {} (world rank {})", group.rank, group.world_ranks.size(),
                     group.world_ranks[group.rank]);
}

}  // namespace

std::string name_of_rank(int rank, const std::vector<int>& world_ranks) {
  return fmt::format("rank {} (world rank {})", rank, world_ranks[rank]);
}

std::string describe_call(const BoardCall& call, const std::vector<std::string>& axis_names) {
  const auto idx = static_cast<size_t>(call.axis_idx);
  const std::string where = fmt::format("{} #{} on axis {}", name_of(call.verb), call.sequence,
                                        idx < axis_names.size() ? axis_names[idx] : "unknown");
  if (call.verb == Verb::kBarrier) return where;
  return fmt::format("{} ({} bytes{})", where, call.num_bytes, describe_detail(call));
}

std::string late_report(const StuckGroup& group, const StuckCall& stuck) {
  return fmt::format(
      "{}: nothing arrived for {:.1f} s at {}; {}; see the log of the late rank, or allow more time "
      "(parallel.timeout) if it is only slow",
      describe_call(stuck.call, group.axis_names), stuck.idle_s, describe_waiter(group),
      describe_peers(group, stuck));
}

std::optional<std::string> disagreement(const StuckGroup& group, const BoardCall& call) {
  if (!group.board || !is_collective(call.verb)) return std::nullopt;
  for (int r = 0; r < static_cast<int>(group.world_ranks.size()); ++r) {
    const BoardSlot* slot = r == group.rank ? nullptr : group.board->slot_of(group.world_ranks[r]);
    if (!slot || num_collectives(*slot, call.axis_idx) < call.sequence) continue;
    const auto theirs = find_collective(*slot, call.axis_idx, call.sequence);
    if (!theirs || agree(theirs->call, call)) continue;
    return fmt::format(
        "{} at {}: {} disagrees: it called {}; do all ranks run the same configuration and program?",
        describe_call(call, group.axis_names), describe_waiter(group), name_of_rank(r, group.world_ranks),
        describe_call(theirs->call, group.axis_names));
  }
  return std::nullopt;
}

}  // namespace athanor::parallel
