#include "parallel/stall_report.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include <fmt/core.h>
#include <fmt/ranges.h>

#include "parallel/late_report.h"

namespace athanor::parallel {
namespace {

constexpr size_t kMaxRanksDescribed = 8;
constexpr size_t kMaxWaitsDescribed = 4;

double seconds_since(int64_t ns, const StallView& view) {
  return static_cast<double>(std::max<int64_t>(0, view.now_ns - ns)) * 1e-9;
}

// A rank that ended its session in order is missed by nobody.
bool is_out_of_service(const RankView& rank) {
  if (rank.slot && rank.slot->state == RankState::kFinished) return false;
  return rank.process == ProcessState::kStopped || rank.process == ProcessState::kGone;
}

// ---- who waits for whom ----------------------------------------------------------------------------------

struct GroupView {
  std::vector<int> members;  // world ranks that can be seen
  int num_unseen = 0;
};

// Ranks are of one group when their groups on this axis begin with the same world rank.
GroupView group_of(const StallView& view, int world_rank, int axis_idx) {
  const AxisRecord& own = view.ranks[world_rank].slot->axes[axis_idx];
  GroupView group;
  for (size_t q = 0; q < view.ranks.size(); ++q)
    if (view.ranks[q].slot && view.ranks[q].slot->axes[axis_idx].first_rank == own.first_rank)
      group.members.push_back(static_cast<int>(q));
  group.num_unseen = own.size - static_cast<int>(group.members.size());
  return group;
}

struct Wait {
  int world_rank;
  CallFacts facts;
  std::vector<int> missing;  // members that have not entered the call
  int num_unseen = 0;
};

Wait examine(const StallView& view, int world_rank, const CallFacts& facts) {
  Wait wait{world_rank, facts, {}, 0};
  if (!is_collective(facts.call.verb)) return wait;
  const GroupView group = group_of(view, world_rank, facts.call.axis_idx);
  wait.num_unseen = group.num_unseen;
  for (int q : group.members)
    if (num_collectives(*view.ranks[q].slot, facts.call.axis_idx) < facts.call.sequence)
      wait.missing.push_back(q);
  return wait;
}

std::vector<Wait> all_waits(const StallView& view) {
  std::vector<Wait> waits;
  for (size_t r = 0; r < view.ranks.size(); ++r) {
    if (!view.ranks[r].slot) continue;
    for (const CallFacts& facts : recent_calls(*view.ranks[r].slot))
      if (facts.is_waited_for() && seconds_since(facts.wait_ns, view) >= view.min_wait_s)
        waits.push_back(examine(view, static_cast<int>(r), facts));
  }
  return waits;
}

std::vector<int> find_late(const StallView& view, const std::vector<Wait>& waits) {
  std::set<int> waiters, wanted;
  for (const Wait& wait : waits) {
    if (!is_out_of_service(view.ranks[wait.world_rank])) waiters.insert(wait.world_rank);
    wanted.insert(wait.missing.begin(), wait.missing.end());
  }
  std::vector<int> late;
  for (size_t r = 0; r < view.ranks.size(); ++r) {
    const int rank = static_cast<int>(r);
    if (is_out_of_service(view.ranks[r]) || (wanted.count(rank) && !waiters.count(rank)))
      late.push_back(rank);
  }
  return late;
}

// ---- the first call that differs -------------------------------------------------------------------------

struct Variant {
  CallFacts facts;
  std::vector<int> world_ranks;
};

// The calls that the members made under one number, alike ones together.
template <typename Same>
std::vector<Variant> variants_of(const StallView& view, const GroupView& group, int axis_idx,
                                 uint64_t sequence, Same same) {
  std::vector<Variant> variants;
  for (int q : group.members) {
    const auto facts = find_collective(*view.ranks[q].slot, axis_idx, sequence);
    if (!facts) continue;
    const auto alike = std::find_if(variants.begin(), variants.end(),
                                    [&](const Variant& variant) { return same(variant.facts, *facts); });
    if (alike == variants.end())
      variants.push_back({*facts, {q}});
    else
      alike->world_ranks.push_back(q);
  }
  return variants;
}

bool is_same_call(const CallFacts& a, const CallFacts& b) {
  return agree(a.call, b.call);
}
bool is_same_place(const CallFacts& a, const CallFacts& b) {
  return a.place == b.place;
}

struct Mismatch {
  std::vector<Variant> variants;
  int64_t begin_ns() const { return variants.front().facts.begin_ns; }
  bool is_before(const std::optional<Mismatch>& other) const {
    return !other || begin_ns() < other->begin_ns();
  }
};

// The lowest number of this axis and group under which the members' calls differ.
template <typename Same>
std::optional<Mismatch> first_on_axis(const StallView& view, const GroupView& group, int axis_idx,
                                      Same same) {
  std::set<uint64_t> numbers;
  for (int q : group.members)
    for (const CallFacts& facts : recent_calls(*view.ranks[q].slot))
      if (facts.call.axis_idx == axis_idx && is_collective(facts.call.verb))
        numbers.insert(facts.call.sequence);
  for (const uint64_t sequence : numbers) {
    std::vector<Variant> variants = variants_of(view, group, axis_idx, sequence, same);
    if (variants.size() > 1) return Mismatch{std::move(variants)};
  }
  return std::nullopt;
}

struct FirstMismatches {
  std::optional<Mismatch> of_call;
  std::optional<Mismatch> of_place;  // the calls are alike, but were made at different places
};

// The earliest over all axes and groups.
FirstMismatches first_mismatches(const StallView& view) {
  FirstMismatches first;
  const auto keep_earlier = [](std::optional<Mismatch>& kept, std::optional<Mismatch> found) {
    if (found && found->is_before(kept)) kept = std::move(found);
  };
  for (int axis = 0; axis < static_cast<int>(view.axis_names.size()); ++axis) {
    std::set<int> seen;
    for (size_t r = 0; r < view.ranks.size(); ++r) {
      if (!view.ranks[r].slot || view.ranks[r].slot->axes[axis].first_rank == 0) continue;
      if (!seen.insert(view.ranks[r].slot->axes[axis].first_rank).second) continue;
      const GroupView group = group_of(view, static_cast<int>(r), axis);
      keep_earlier(first.of_call, first_on_axis(view, group, axis, is_same_call));
      keep_earlier(first.of_place, first_on_axis(view, group, axis, is_same_place));
    }
  }
  return first;
}

// ---- the lines -------------------------------------------------------------------------------------------

std::string describe_rank(const StallView& view, int r) {
  const RankView& rank = view.ranks[r];
  const int pid = rank.slot ? rank.slot->pid.load(std::memory_order_relaxed) : 0;
  return fmt::format("world rank {} ({}{})", r, rank.host, pid ? fmt::format(", process {}", pid) : "");
}

std::string describe_last_call(const StallView& view, const BoardSlot& slot) {
  const auto last = newest_call(slot);
  if (!last) return "it has made no call yet";
  const std::string call = describe_call(last->call, view.axis_names);
  if (last->is_open()) return fmt::format("in {} since {:.1f} s", call, seconds_since(last->begin_ns, view));
  return fmt::format("last call {}, done {:.1f} s ago", call, seconds_since(last->end_ns, view));
}

std::string late_line(const StallView& view, int r) {
  const RankView& rank = view.ranks[r];
  if (!rank.slot) return fmt::format("late: {} is {}", describe_rank(view, r), name_of(rank.process));
  return fmt::format("late: {} is {}; {}; {}", describe_rank(view, r), name_of(rank.process),
                     describe_place(place_of(*rank.slot)), describe_last_call(view, *rank.slot));
}

void add_late(const StallView& view, const std::vector<int>& late, std::vector<std::string>& lines) {
  for (size_t i = 0; i < late.size() && i < kMaxRanksDescribed; ++i)
    lines.push_back(late_line(view, late[i]));
  if (late.size() > kMaxRanksDescribed)
    lines.push_back(fmt::format("late: {} more: {}", late.size() - kMaxRanksDescribed,
                                describe_ranks({late.begin() + kMaxRanksDescribed, late.end()})));
}

// Waits for one call of one group in one line.
void add_waits(const StallView& view, const std::vector<Wait>& waits, std::vector<std::string>& lines) {
  std::map<std::pair<int, std::string>, std::vector<const Wait*>> by_call;
  for (const Wait& wait : waits) {
    if (is_out_of_service(view.ranks[wait.world_rank])) continue;
    const AxisRecord& axis = view.ranks[wait.world_rank].slot->axes[wait.facts.call.axis_idx];
    by_call[{axis.first_rank, describe_call(wait.facts.call, view.axis_names)}].push_back(&wait);
  }
  size_t num_lines = 0;
  for (const auto& [call, group] : by_call) {
    if (++num_lines > kMaxWaitsDescribed) {
      lines.push_back(fmt::format("and {} more calls are waited for; see the flight records",
                                  by_call.size() - kMaxWaitsDescribed));
      return;
    }
    std::vector<int> ranks;
    for (const Wait* wait : group) ranks.push_back(wait->world_rank);
    const Wait& first = *group.front();
    const std::string reason = !first.missing.empty() ? "for " + describe_ranks(first.missing)
                               : first.num_unseen > 0 ? "all ranks that can be seen have entered it"
                                                      : "all ranks have entered it";
    lines.push_back(fmt::format("waiting: {} in {} since {:.1f} s: {} ({})", describe_ranks(ranks),
                                call.second, seconds_since(first.facts.wait_ns, view), reason,
                                describe_place(first.facts.place)));
  }
}

// Waits that go round in a circle: each waits for a rank that waits in another call.
bool is_circle(const std::vector<Wait>& waits, const std::vector<int>& late) {
  return late.empty() &&
         std::any_of(waits.begin(), waits.end(), [](const Wait& wait) { return !wait.missing.empty(); });
}

std::string describe_mismatch(const StallView& view, const Mismatch& mismatch) {
  std::vector<std::string> parts;
  for (const Variant& variant : mismatch.variants)
    parts.push_back(fmt::format("{} made {} in {}", describe_ranks(variant.world_ranks),
                                describe_call(variant.facts.call, view.axis_names),
                                describe_place(variant.facts.place)));
  return fmt::format("{}", fmt::join(parts, "; "));
}

// A call left out shows first where the calls go on alike, but not at the same place.
void add_mismatches(const StallView& view, std::vector<std::string>& lines) {
  const FirstMismatches first = first_mismatches(view);
  if (first.of_place && first.of_place->is_before(first.of_call))
    lines.push_back("first call at different places: " + describe_mismatch(view, *first.of_place) +
                    ": a rank has left out a collective before it, or made one more");
  if (first.of_call) lines.push_back("first mismatching call: " + describe_mismatch(view, *first.of_call));
}

void add_unknown(const StallView& view, std::vector<std::string>& lines) {
  std::map<std::string, std::vector<int>> by_host;
  for (size_t r = 0; r < view.ranks.size(); ++r)
    if (!view.ranks[r].slot) by_host[view.ranks[r].host].push_back(static_cast<int>(r));
  for (const auto& [host, ranks] : by_host)
    lines.push_back(
        fmt::format("unknown: {} on {}: no process of that machine answered", describe_ranks(ranks), host));
}

}  // namespace

std::string stall_report(const StallView& view) {
  const std::vector<Wait> waits = all_waits(view);
  const std::vector<int> late = find_late(view, waits);
  std::vector<std::string> lines;
  add_late(view, late, lines);
  if (is_circle(waits, late))
    lines.push_back("the ranks wait for each other: they make their calls in another order of axes");
  add_waits(view, waits, lines);
  add_mismatches(view, lines);
  add_unknown(view, lines);
  return fmt::format("{}", fmt::join(lines, "\n"));
}

std::vector<int> late_ranks(const StallView& view) {
  return find_late(view, all_waits(view));
}

std::string describe_ranks(const std::vector<int>& world_ranks) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < world_ranks.size();) {
    size_t last = i;
    while (last + 1 < world_ranks.size() && world_ranks[last + 1] == world_ranks[last] + 1) ++last;
    parts.push_back(last == i ? fmt::format("{}", world_ranks[i])
                              : fmt::format("{}-{}", world_ranks[i], world_ranks[last]));
    i = last + 1;
  }
  return fmt::format("world rank{} {}", world_ranks.size() == 1 ? "" : "s", fmt::join(parts, ", "));
}

std::string describe_place(const Place& place) {
  std::string text = place.step > 0 ? fmt::format("step {}, ", place.step) : "";
  if (place.block >= 0) text += fmt::format("block {}, ", place.block);
  return text + std::string(name_of(place.phase));
}

}  // namespace athanor::parallel
