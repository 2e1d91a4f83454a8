#include "parallel/progress_board.h"

#include "core/error.h"

namespace athanor::parallel {
namespace {

uint64_t packed(const BoardCall& call) {
  return call.sequence << 16 | static_cast<uint64_t>(call.axis_idx) << 8 | static_cast<uint64_t>(call.verb);
}

BoardCall unpacked(uint64_t word) {
  return {static_cast<int>(word >> 8 & 0xFF), static_cast<Verb>(word & 0xFF), word >> 16};
}

}  // namespace

SlotBoard::SlotBoard(BoardSlot* slots, const std::vector<int>& world_ranks, int own_world_rank,
                     int world_size)
    : slots_(slots), slot_of_rank_(world_size, -1) {
  for (size_t i = 0; i < world_ranks.size(); ++i) slot_of_rank_.at(world_ranks[i]) = static_cast<int>(i);
  const int own_slot = slot_of_rank_.at(own_world_rank);
  ATHANOR_CHECK(own_slot >= 0, "world rank {} has no slot on its own machine", own_world_rank);
  own_ = slots_ + own_slot;
}

void SlotBoard::publish(const BoardCall& call) {
  ATHANOR_CHECK(call.axis_idx >= 0 && call.axis_idx < kMaxBoardAxes, "axis {} of at most {}", call.axis_idx,
                kMaxBoardAxes);
  if (is_collective(call.verb))
    own_->last_collective[call.axis_idx].store(packed(call), std::memory_order_relaxed);
  own_->last_call.store(packed(call), std::memory_order_relaxed);
}

const BoardSlot* SlotBoard::slot_of(int world_rank) const {
  const int slot = slot_of_rank_.at(world_rank);
  return slot < 0 ? nullptr : slots_ + slot;
}

std::optional<BoardCall> SlotBoard::last_collective(int world_rank, int axis_idx) const {
  const BoardSlot* slot = slot_of(world_rank);
  if (!slot) return std::nullopt;
  return unpacked(slot->last_collective[axis_idx].load(std::memory_order_relaxed));
}

std::optional<BoardCall> SlotBoard::last_call(int world_rank) const {
  const BoardSlot* slot = slot_of(world_rank);
  const uint64_t word = slot ? slot->last_call.load(std::memory_order_relaxed) : 0;
  if (word == 0) return std::nullopt;
  return unpacked(word);
}

}  // namespace athanor::parallel
