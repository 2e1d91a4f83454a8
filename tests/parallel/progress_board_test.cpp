// What ranks publish, and what one rank says of a call that others have not made or made otherwise.
#include "parallel/progress_board.h"

#include <chrono>
#include <thread>

#include <gtest/gtest.h>

#include "parallel/late_report.h"
#include "parallel/wait_loop.h"
#include "tests/parallel/fake_board.h"

namespace athanor::parallel {
namespace {

TEST(ProgressBoard, ShowsWhereTheRanksOfThisMachineAre) {
  FakeBoard board({4, 6}, 8);
  const BoardSlot& other = *board.of(4).slot_of(6);
  EXPECT_EQ(num_collectives(other, 1), 0u);
  EXPECT_FALSE(newest_call(other).has_value());
  board.progress_of(6).begin_step(7, Phase::kData);
  board.progress_of(6).enter(Phase::kBackward, 3);
  board.wait(6, {1, Verb::kBroadcast, 70000, 12, 1});
  board.complete(6, {2, Verb::kSend, 2, 5});
  EXPECT_EQ(num_collectives(other, 1), 70000u);
  EXPECT_EQ(num_collectives(other, 2), 0u);  // messages are no collectives
  const auto broadcast = find_collective(other, 1, 70000);
  ASSERT_TRUE(broadcast.has_value());
  EXPECT_EQ(broadcast->call.num_bytes, 12);
  EXPECT_EQ(broadcast->call.detail, 1);
  EXPECT_EQ(broadcast->place, (Place{7, 3, Phase::kBackward}));
  EXPECT_TRUE(broadcast->is_waited_for());
  EXPECT_FALSE(find_collective(other, 1, 69999).has_value());
  EXPECT_EQ(newest_call(other)->call.verb, Verb::kSend);
  EXPECT_FALSE(newest_call(other)->is_open());
  EXPECT_EQ(board.of(4).slot_of(5), nullptr);  // on another machine
}

TEST(ProgressBoard, KeepsTheNewestCalls) {
  FakeBoard board(1);
  const uint64_t first = board.of(0).begin({0, Verb::kBarrier, 1});
  for (uint64_t i = 2; i <= kFlightCalls + 10; ++i) board.complete(0, {0, Verb::kBarrier, i});
  board.of(0).done(first);  // written over long ago: must not touch its successor
  const auto calls = recent_calls(board.of(0).own());
  ASSERT_EQ(calls.size(), static_cast<size_t>(kFlightCalls));
  EXPECT_EQ(calls.front().call.sequence, 11u);
  EXPECT_EQ(calls.back().call.sequence, static_cast<uint64_t>(kFlightCalls) + 10);
  EXPECT_FALSE(find_collective(board.of(0).own(), 0, 10).has_value());
}

TEST(ProgressBoard, WithoutASlotProgressGoesNowhere) {
  Progress nowhere;
  nowhere.begin_step(1, Phase::kData);
  nowhere.enter(Phase::kForward, 2);
}

TEST(WaitLoop, ExpiresButNotBecauseThisProcessItselfDidNotRun) {
  WaitLoop loop(0.05);
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  EXPECT_TRUE(loop.pause());
  while (loop.pause()) {
  }
  EXPECT_GT(loop.idle_seconds(), 0.05);
}

TEST(LateReport, NamesTheLateAndWhoIsOutOfSight) {
  FakeBoard board({2, 4, 6}, 10);
  board.complete(4, {1, Verb::kAllGather, 2, 64});
  const std::vector<int> world_ranks = {2, 4, 6, 8};
  const StuckGroup group{world_ranks, board.names, 0, &board.of(2)};
  expect_parts(
      late_report(group, {{1, Verb::kAllGather, 3, 64}, 30.0, {1, 2, 3}}),
      {"all_gather #3 on axis data (64 bytes): nothing arrived for 30.0 s at rank 0 of 4 (world rank 2)",
       "rank 1 (world rank 4) has not arrived: its last call is all_gather #2 on axis data (64 bytes)",
       "rank 2 (world rank 6) has not arrived: it has made no call yet",
       "rank 3 (world rank 8) has not answered (it is on another machine)"});
}

TEST(LateReport, StaysShortWhenThousandsAreLate) {
  const std::vector<std::string> names = {"world"};
  std::vector<int> world_ranks(4096);
  StuckCall stuck{{0, Verb::kAllToAll, 1}, 600, {}};
  for (int r = 0; r < 4096; ++r) {
    world_ranks[r] = r;
    stuck.owing_ranks.insert(r);
  }
  const std::string report = late_report({world_ranks, names, 7, nullptr}, stuck);
  EXPECT_LT(report.size(), 1000u);
  EXPECT_NE(report.find("and 4087 more ranks"), std::string::npos) << report;
}

TEST(Disagreement, IsAnotherVerbSizeRootOrOperation) {
  const std::vector<int> world_ranks = {0, 1};
  const BoardCall mine{1, Verb::kBroadcast, 5, 64, 0};
  const auto against = [&](const BoardCall& theirs) {
    FakeBoard board(2);
    board.wait(1, theirs);
    return disagreement({world_ranks, board.names, 0, &board.of(0)}, mine);
  };
  EXPECT_FALSE(against(mine).has_value());
  EXPECT_FALSE(against({1, Verb::kAllGather, 4, 32}).has_value());  // not there yet
  EXPECT_FALSE(against({2, Verb::kAllGather, 5, 32}).has_value());  // another axis
  for (const BoardCall& theirs :
       {BoardCall{1, Verb::kAllGather, 5, 64}, BoardCall{1, Verb::kBroadcast, 5, 60, 0},
        BoardCall{1, Verb::kBroadcast, 5, 64, 1}}) {
    const auto message = against(theirs);
    ASSERT_TRUE(message.has_value());
    expect_parts(*message,
                 {"broadcast #5 on axis data (64 bytes from rank 0) at rank 0 of 2",
                  "rank 1 (world rank 1) disagrees: it called " + describe_call(theirs, {"", "data"})});
  }
}

TEST(Disagreement, PiecesOfAnAllToAllMayBeUneven) {
  FakeBoard board(2);
  const std::vector<int> world_ranks = {0, 1};
  board.wait(1, {1, Verb::kAllToAll, 1, 100});
  EXPECT_FALSE(
      disagreement({world_ranks, board.names, 0, &board.of(0)}, {1, Verb::kAllToAll, 1, 8}).has_value());
}

}  // namespace
}  // namespace athanor::parallel
