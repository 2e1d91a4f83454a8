#include "parallel/progress_board.h"

#include <algorithm>
#include <chrono>

#include "core/error.h"

namespace athanor::parallel {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

uint64_t packed(const BoardCall& call) {
  return call.sequence << 16 | static_cast<uint64_t>(call.axis_idx) << 8 | static_cast<uint64_t>(call.verb);
}

uint64_t packed(const Place& place) {
  return static_cast<uint64_t>(place.step) << 24 | static_cast<uint64_t>((place.block + 1) & 0xFFFF) << 8 |
         static_cast<uint64_t>(place.phase);
}

Place unpacked_place(uint64_t word) {
  return {static_cast<int64_t>(word >> 24), static_cast<int>(word >> 8 & 0xFFFF) - 1,
          static_cast<Phase>(word & 0xFF)};
}

// Nothing when the record was written anew meanwhile.
std::optional<CallFacts> read_call(const BoardSlot& slot, uint64_t id) {
  const CallRecord& record = slot.calls[(id - 1) % kFlightCalls];
  if (record.id.load(std::memory_order_acquire) != id) return std::nullopt;
  CallFacts facts{.id = id};
  const uint64_t word = record.call.load(kRelaxed);
  facts.call = {static_cast<int>(word >> 8 & 0xFF), static_cast<Verb>(word & 0xFF), word >> 16,
                record.num_bytes.load(kRelaxed), record.detail.load(kRelaxed)};
  facts.place = unpacked_place(record.place.load(kRelaxed));
  facts.begin_ns = record.begin_ns.load(kRelaxed);
  facts.wait_ns = record.wait_ns.load(kRelaxed);
  facts.end_ns = record.end_ns.load(kRelaxed);
  std::atomic_thread_fence(std::memory_order_acquire);
  if (record.id.load(kRelaxed) != id) return std::nullopt;
  return facts;
}

uint64_t oldest_id(uint64_t newest_id) {
  return newest_id > kFlightCalls ? newest_id - kFlightCalls + 1 : 1;
}

}  // namespace

std::string_view name_of(Phase phase) {
  constexpr std::array<std::string_view, 8> kNames = {
      "starting", "loading data", "forward", "backward",
      "update",   "validation",   "saving",  "ending the session"};
  return kNames.at(static_cast<size_t>(phase));
}

bool agree(const BoardCall& a, const BoardCall& b) {
  return a.verb == b.verb &&
         (a.verb == Verb::kAllToAll || (a.num_bytes == b.num_bytes && a.detail == b.detail));
}

int64_t unix_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// ---- writing ---------------------------------------------------------------------------------------------

void Progress::enter(Phase phase, int block) {
  if (slot_) enter({unpacked_place(slot_->place.load(kRelaxed)).step, block, phase});
}

void Progress::enter(const Place& place) {
  if (!slot_) return;
  slot_->place.store(packed(place), kRelaxed);
  slot_->place_ns.store(unix_ns(), kRelaxed);
}

ProgressBoard::ProgressBoard(BoardSlot* slots, const std::vector<int>& world_ranks, int own_world_rank,
                             int world_size)
    : slots_(slots), world_ranks_(world_ranks), slot_of_rank_(world_size, -1) {
  for (size_t i = 0; i < world_ranks.size(); ++i) slot_of_rank_.at(world_ranks[i]) = static_cast<int>(i);
  const int own_slot = slot_of_rank_.at(own_world_rank);
  ATHANOR_CHECK(own_slot >= 0, "world rank {} has no slot on its own machine", own_world_rank);
  own_ = slots_ + own_slot;
}

void ProgressBoard::join(int axis_idx, const std::vector<int>& world_ranks) {
  ATHANOR_CHECK(axis_idx >= 0 && axis_idx < kMaxBoardAxes, "axis {} of at most {}", axis_idx, kMaxBoardAxes);
  AxisRecord& axis = own_->axes[axis_idx];
  axis.size.store(static_cast<int32_t>(world_ranks.size()), kRelaxed);
  axis.first_rank.store(1 + *std::min_element(world_ranks.begin(), world_ranks.end()), kRelaxed);
}

uint64_t ProgressBoard::begin(const BoardCall& call) {
  ATHANOR_CHECK(call.axis_idx >= 0 && call.axis_idx < kMaxBoardAxes, "axis {} of at most {}", call.axis_idx,
                kMaxBoardAxes);
  const uint64_t id = own_->num_calls.fetch_add(1, kRelaxed) + 1;
  CallRecord& record = record_of(id);
  record.id.store(0, kRelaxed);
  std::atomic_thread_fence(std::memory_order_release);
  record.call.store(packed(call), kRelaxed);
  record.num_bytes.store(call.num_bytes, kRelaxed);
  record.detail.store(call.detail, kRelaxed);
  record.place.store(own_->place.load(kRelaxed), kRelaxed);
  record.begin_ns.store(unix_ns(), kRelaxed);
  record.wait_ns.store(0, kRelaxed);
  record.end_ns.store(0, kRelaxed);
  record.id.store(id, std::memory_order_release);
  if (is_collective(call.verb))
    own_->axes[call.axis_idx].num_collectives.store(call.sequence, std::memory_order_release);
  return id;
}

// A call whose record was written over is no longer of interest.
void ProgressBoard::waiting(uint64_t id) {
  if (record_of(id).id.load(kRelaxed) == id) record_of(id).wait_ns.store(unix_ns(), kRelaxed);
}

void ProgressBoard::done(uint64_t id) {
  if (record_of(id).id.load(kRelaxed) == id) record_of(id).end_ns.store(unix_ns(), kRelaxed);
}

const BoardSlot* ProgressBoard::slot_of(int world_rank) const {
  const int slot = slot_of_rank_.at(world_rank);
  return slot < 0 ? nullptr : slots_ + slot;
}

// ---- reading ---------------------------------------------------------------------------------------------

Place place_of(const BoardSlot& slot) {
  return unpacked_place(slot.place.load(kRelaxed));
}

uint64_t num_collectives(const BoardSlot& slot, int axis_idx) {
  return slot.axes[axis_idx].num_collectives.load(std::memory_order_acquire);
}

// From the newest back: what is looked for is among the last few.
std::optional<CallFacts> find_collective(const BoardSlot& slot, int axis_idx, uint64_t sequence) {
  const uint64_t newest = slot.num_calls.load(kRelaxed);
  for (uint64_t id = newest; id >= oldest_id(newest) && id > 0; --id) {
    const uint64_t word = slot.calls[(id - 1) % kFlightCalls].call.load(kRelaxed);
    if (word >> 16 != sequence || static_cast<int>(word >> 8 & 0xFF) != axis_idx ||
        !is_collective(static_cast<Verb>(word & 0xFF)))
      continue;
    if (const auto facts = read_call(slot, id)) return facts;
  }
  return std::nullopt;
}

std::optional<CallFacts> newest_call(const BoardSlot& slot) {
  const uint64_t newest = slot.num_calls.load(kRelaxed);
  return newest == 0 ? std::nullopt : read_call(slot, newest);
}

std::vector<CallFacts> recent_calls(const BoardSlot& slot) {
  std::vector<CallFacts> calls;
  const uint64_t newest = slot.num_calls.load(kRelaxed);
  for (uint64_t id = oldest_id(newest); id <= newest; ++id)
    if (const auto facts = read_call(slot, id)) calls.push_back(*facts);
  return calls;
}

}  // namespace athanor::parallel
