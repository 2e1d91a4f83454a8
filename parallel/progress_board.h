// Where every rank writes how far it is, and where the others can read it even while it is stuck, stopped or
// gone.
//
// A slot holds a rank's place (step, block, phase), for every axis its group and the number of its newest
// collective, and its last kFlightCalls calls with their times. The slots of one machine lie in memory that
// all its ranks map, so no rank has to answer for itself. Publishing a call costs a dozen relaxed stores and
// two looks at the clock; nothing is formatted before a report is needed (stall_report.h, flight_record.h).
// Every backend publishes: begin, waiting, done.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "parallel/verb.h"

namespace athanor::parallel {

constexpr int kMaxBoardAxes = 128;
constexpr int kFlightCalls = 256;

enum class Phase : uint8_t {
  kStarting,
  kData,
  kForward,
  kBackward,
  kUpdate,
  kValidation,
  kCheckpoint,
  kEnding
};
std::string_view name_of(Phase phase);

/// What the trainer says it is doing. `step` from 1 (0: before the first), `block` -1: none in particular.
struct Place {
  int64_t step = 0;
  int block = -1;
  Phase phase = Phase::kStarting;
  bool operator==(const Place&) const = default;
};

/// One call: number `sequence` (from 1) of the communicator `axis_idx` (in order of creation, alike on all
/// ranks). send and recv have a count of their own.
struct BoardCall {
  int axis_idx = 0;
  Verb verb = Verb::kBarrier;
  uint64_t sequence = 0;
  int64_t num_bytes = 0;  ///< what this rank contributes; all_to_all: all that it sends
  int32_t detail = 0;     ///< broadcast: the root; all_reduce: the operation; send and recv: the peer
};

/// What ranks must agree on: the verb and, except for all_to_all with its uneven pieces, bytes and detail.
bool agree(const BoardCall& a, const BoardCall& b);

/// A call as it was read from a slot. Times are nanoseconds since 1970; 0: not yet.
struct CallFacts {
  uint64_t id = 0;  ///< from 1, counts the calls of a rank
  BoardCall call;
  Place place;
  int64_t begin_ns = 0;
  int64_t wait_ns = 0;  ///< when the rank began to wait for it
  int64_t end_ns = 0;

  bool is_open() const { return end_ns == 0; }
  bool is_waited_for() const { return is_open() && wait_ns != 0; }
};

// ---- plain memory that several processes map; zero-filled memory is a valid, empty slot
// --------------------

/// Written anew every kFlightCalls calls; `id` is 0 while that happens.
struct alignas(64) CallRecord {
  std::atomic<uint64_t> id;
  std::atomic<uint64_t> call;  ///< sequence << 16 | axis_idx << 8 | verb
  std::atomic<int64_t> num_bytes;
  std::atomic<uint64_t> place;
  std::atomic<int64_t> begin_ns, wait_ns, end_ns;
  std::atomic<int32_t> detail;
};

struct AxisRecord {
  std::atomic<uint64_t> num_collectives;
  std::atomic<int32_t> first_rank;  ///< 1 + the lowest world rank of the group; 0: no group on this axis yet
  std::atomic<int32_t> size;
};

enum class RankState : int32_t { kUnused, kRunning, kFailed, kFinished };

struct alignas(64) BoardSlot {
  std::atomic<RankState> state;
  std::atomic<int32_t> pid;
  std::atomic<uint64_t> pid_namespace;  ///< process ids compare only within one
  std::atomic<uint64_t> place;
  std::atomic<int64_t> place_ns;
  std::atomic<uint64_t> num_calls;
  std::array<AxisRecord, kMaxBoardAxes> axes;
  std::array<CallRecord, kFlightCalls> calls;
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

// ---- writing
// -----------------------------------------------------------------------------------------------

/// Tells where this rank is in its work; for the trainer. Without a slot it does nothing.
class Progress {
 public:
  explicit Progress(BoardSlot* slot = nullptr) : slot_(slot) {}
  void begin_step(int64_t step, Phase phase) { enter({step, -1, phase}); }
  /// Another phase or block of the same step.
  void enter(Phase phase, int block = -1);

 private:
  void enter(const Place& place);
  BoardSlot* slot_;
};

/// Threads of one rank may publish at the same time.
class ProgressBoard {
 public:
  /// `slots[i]` belongs to `world_ranks[i]`, all of this machine, the rank's own among them; lives as long as
  /// the board.
  ProgressBoard(BoardSlot* slots, const std::vector<int>& world_ranks, int own_world_rank, int world_size);

  /// Axis `axis_idx` of this rank joins these world ranks.
  void join(int axis_idx, const std::vector<int>& world_ranks);
  /// Before the call is made; gives its id.
  uint64_t begin(const BoardCall& call);
  void waiting(uint64_t id);
  void done(uint64_t id);

  BoardSlot& own() { return *own_; }
  const std::vector<int>& world_ranks() const { return world_ranks_; }
  /// Null: on another machine.
  const BoardSlot* slot_of(int world_rank) const;

 private:
  CallRecord& record_of(uint64_t id) { return own_->calls[(id - 1) % kFlightCalls]; }
  BoardSlot* slots_;
  std::vector<int> world_ranks_;
  std::vector<int> slot_of_rank_;  // -1: not on this machine
  BoardSlot* own_;
};

// ---- reading, also of a slot that is being written
// ---------------------------------------------------------

Place place_of(const BoardSlot& slot);
/// Number of the newest collective that the rank entered on this axis; 0 before the first.
uint64_t num_collectives(const BoardSlot& slot, int axis_idx);
/// Collective number `sequence` of an axis, when it is among the last kFlightCalls calls.
std::optional<CallFacts> find_collective(const BoardSlot& slot, int axis_idx, uint64_t sequence);
std::optional<CallFacts> newest_call(const BoardSlot& slot);
/// Oldest first, at most kFlightCalls.
std::vector<CallFacts> recent_calls(const BoardSlot& slot);

int64_t unix_ns();

}  // namespace athanor::parallel
