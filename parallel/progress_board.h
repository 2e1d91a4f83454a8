// Where every rank writes how far it is, and where the others can read it even while it is stuck.
//
// Each rank publishes the call it enters, before it enters it. A rank whose deadline passes reads the others'
// slots and says who has not arrived and what they were doing instead. Writing costs two relaxed stores. The
// board of a session covers the ranks of this machine (shared memory); for others it answers "unknown".
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "parallel/verb.h"

namespace athanor::parallel {

constexpr int kMaxBoardAxes = 64;

/// One call: number `sequence` (from 1) of the communicator `axis_idx` (in order of creation, alike on all
/// ranks).
struct BoardCall {
  int axis_idx = 0;
  Verb verb = Verb::kBarrier;
  uint64_t sequence = 0;
};

class ProgressBoard {
 public:
  virtual ~ProgressBoard() = default;
  virtual void publish(const BoardCall& call) = 0;
  /// The newest collective that `world_rank` entered on this axis, number 0 before the first; none: unknown
  /// from here.
  virtual std::optional<BoardCall> last_collective(int world_rank, int axis_idx) const = 0;
  /// The newest call of any axis that `world_rank` entered; none: unknown, or it has not made any.
  virtual std::optional<BoardCall> last_call(int world_rank) const = 0;
};

/// Plain memory that several processes map. Zero-filled memory is a valid empty slot.
struct alignas(64) BoardSlot {
  std::atomic<uint64_t> last_call;  ///< sequence << 16 | axis_idx << 8 | verb; 0: none yet
  std::atomic<uint64_t> last_collective[kMaxBoardAxes];
};
static_assert(std::atomic<uint64_t>::is_always_lock_free, "slots are shared between processes");

/// A board over slots that somebody else owns: slots[i] belongs to world rank world_ranks[i].
class SlotBoard final : public ProgressBoard {
 public:
  SlotBoard(BoardSlot* slots, const std::vector<int>& world_ranks, int own_world_rank, int world_size);
  void publish(const BoardCall& call) override;
  std::optional<BoardCall> last_collective(int world_rank, int axis_idx) const override;
  std::optional<BoardCall> last_call(int world_rank) const override;

 private:
  const BoardSlot* slot_of(int world_rank) const;
  BoardSlot* slots_;
  std::vector<int> slot_of_rank_;  // -1: not on this machine
  BoardSlot* own_;
};

}  // namespace athanor::parallel
