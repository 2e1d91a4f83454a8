// The report on a job that does not go on, from boards that show every kind of fault.
#include "parallel/stall_report.h"

#include <sstream>
#include <unistd.h>

#include <gtest/gtest.h>

#include "core/json.h"
#include "parallel/flight_record.h"
#include "tests/parallel/fake_board.h"

namespace athanor::parallel {
namespace {

constexpr int kData = 1, kExpert = 2;

BoardCall gather(uint64_t sequence, int64_t num_bytes = 64) {
  return {kData, Verb::kAllGather, sequence, num_bytes};
}

// Four ranks of one axis that have made one collective together.
struct FourRanks : FakeBoard {
  FourRanks() : FakeBoard(4) {
    join(kData, {0, 1, 2, 3});
    for (int r = 0; r < 4; ++r) {
      progress_of(r).begin_step(5, Phase::kForward);
      complete(r, gather(1));
    }
  }
};

TEST(StallReport, NamesTheRankThatComputesWhileTheOthersWait) {
  FourRanks board;
  for (int r : {0, 1, 3}) board.wait(r, gather(2));
  board.progress_of(2).enter(Phase::kBackward, 7);
  EXPECT_EQ(late_ranks(board.view()), std::vector<int>{2});
  const std::string report = stall_report(board.view());
  expect_parts(report, {"late: world rank 2 (here, process 1002) is sleeping; step 5, block 7, backward",
                        "last call all_gather #1 on axis data (64 bytes), done",
                        "waiting: world ranks 0-1, 3 in all_gather #2 on axis data (64 bytes) since",
                        ": for world rank 2 (step 5, forward)"});
  EXPECT_EQ(report.find("mismatch"), std::string::npos) << report;
}

TEST(StallReport, FollowsTheChainToItsEnd) {
  FakeBoard board(3);
  board.join(kData, {0, 1});
  board.join(kExpert, {1, 2});
  board.wait(0, gather(1));
  board.wait(1, {kExpert, Verb::kAllToAll, 1, 8});
  EXPECT_EQ(late_ranks(board.view()), std::vector<int>{2});
}

TEST(StallReport, YoungWaitsAreNotHeldAgainstAnybody) {
  FourRanks board;
  board.wait(0, gather(2));
  board.view().min_wait_s = 60;
  EXPECT_TRUE(late_ranks(board.view()).empty());
}

TEST(StallReport, ARankStoppedInsideTheCallIsTheReason) {
  FourRanks board;
  for (int r = 0; r < 4; ++r) board.wait(r, gather(2));
  board.view().ranks[1].process = ProcessState::kStopped;
  EXPECT_EQ(late_ranks(board.view()), std::vector<int>{1});
  expect_parts(
      stall_report(board.view()),
      {"late: world rank 1 (here, process 1001) is stopped by a signal", "in all_gather #2 on axis data",
       "waiting: world ranks 0, 2-3 in all_gather #2", "all ranks have entered it"});
}

TEST(StallReport, ALostRankIsNamedAndAFinishedOneIsNot) {
  FourRanks board;
  board.view().ranks[0].process = board.view().ranks[3].process = ProcessState::kGone;
  board.of(0).own().state = RankState::kFinished;
  EXPECT_EQ(late_ranks(board.view()), std::vector<int>{3});
  expect_parts(stall_report(board.view()), {"late: world rank 3 (here, process 1003) is gone"});
}

TEST(StallReport, AnotherShapeIsNamedWithBothSizes) {
  FourRanks board;
  for (int r = 0; r < 4; ++r) board.wait(r, gather(2, r == 2 ? 68 : 64));
  expect_parts(
      stall_report(board.view()),
      {"first mismatching call: world ranks 0-1, 3 made all_gather #2 on axis data (64 bytes) in step 5, "
       "forward; world rank 2 made all_gather #2 on axis data (68 bytes)"});
}

TEST(StallReport, ASkippedCollectiveShowsAsAnotherVerb) {
  FourRanks board;
  for (int r : {0, 1, 2}) board.wait(r, {kData, Verb::kBroadcast, 2, 8, 0});
  board.wait(3, {kData, Verb::kBarrier, 2});
  expect_parts(stall_report(board.view()),
               {"world ranks 0-2 made broadcast #2 on axis data (8 bytes from rank 0)",
                "world rank 3 made barrier #2 on axis data"});
}

TEST(StallReport, ASkippedCollectiveAmongAlikeOnesShowsByItsPlace) {
  FourRanks board;
  for (int r = 0; r < 4; ++r)
    for (int block = r == 3 ? 1 : 0; block < 4; ++block) {  // rank 3 leaves out that of block 0
      board.progress_of(r).enter(Phase::kBackward, block);
      const uint64_t sequence = num_collectives(board.of(r).own(), kData) + 1;
      if (block < 3)
        board.complete(r, gather(sequence));
      else if (r < 3)
        board.wait(r, gather(sequence));
    }
  EXPECT_EQ(late_ranks(board.view()), std::vector<int>{3});
  expect_parts(stall_report(board.view()),
               {"world ranks 0-2 made all_gather #2 on axis data (64 bytes) in step 5, block 0, backward",
                "world rank 3 made all_gather #2 on axis data (64 bytes) in step 5, block 1, backward",
                "first call at different places", "a rank has left out a collective"});
  EXPECT_EQ(stall_report(board.view()).find("mismatching"), std::string::npos);
}

TEST(StallReport, AnotherOrderOfAxesIsACircle) {
  FakeBoard board(2);
  board.join(kData, {0, 1});
  board.join(kExpert, {0, 1});
  board.wait(0, gather(1));
  board.wait(1, {kExpert, Verb::kAllToAll, 1, 8});
  EXPECT_TRUE(late_ranks(board.view()).empty());
  expect_parts(stall_report(board.view()),
               {"the ranks wait for each other", "world rank 0 in all_gather #1 on axis data",
                "world rank 1 in all_to_all #1 on axis expert"});
}

// Groups of one axis are different calls even under one number.
TEST(StallReport, GroupsOfOneAxisAreNotCompared) {
  FakeBoard board(4);
  board.join(kData, {0, 1});
  board.join(kData, {2, 3});
  for (int r = 0; r < 4; ++r) board.complete(r, gather(1, r < 2 ? 64 : 128));
  EXPECT_EQ(stall_report(board.view()), "");
}

TEST(StallReport, SaysWhatItDoesNotKnow) {
  FakeBoard board({0, 1}, 4);
  board.join(kData, {0, 1, 2, 3});
  for (int r : {0, 1}) board.wait(r, gather(1));
  EXPECT_TRUE(late_ranks(board.view()).empty());
  expect_parts(stall_report(board.view()),
               {"all ranks that can be seen have entered it",
                "unknown: world ranks 2-3 on elsewhere: no process of that machine answered"});
}

TEST(StallReport, StaysShortWhenManyAreLate) {
  constexpr int kRanks = 64;
  FakeBoard board(kRanks);
  board.join(kData, FakeBoard::first_ranks(kRanks));
  board.wait(0, gather(1));
  const std::string report = stall_report(board.view());
  EXPECT_LT(report.size(), 2000u);
  expect_parts(report, {"late: 55 more: world ranks 9-63"});
}

TEST(FlightRecord, IsOneJsonObjectPerLine) {
  FourRanks board;
  board.progress_of(1).enter(Phase::kForward, 2);
  board.wait(1, gather(2));
  std::istringstream lines(
      flight_record(board.view().ranks[1], {1, 0, "a \"reason\"\nof two lines"}, board.names));
  std::vector<nlohmann::json> read;
  for (std::string line; std::getline(lines, line);) read.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(read.size(), 3u);
  EXPECT_EQ(read[0]["rank"], 1);
  EXPECT_EQ(read[0]["step"], 5);
  EXPECT_EQ(read[0]["block"], 2);
  EXPECT_EQ(read[0]["reason"], "a \"reason\"\nof two lines");
  EXPECT_EQ(read[1]["state"], "done");
  EXPECT_GE(read[1]["end"].get<double>(), read[1]["begin"].get<double>());
  EXPECT_EQ(read[2]["state"], "waiting");
  EXPECT_EQ(read[2]["verb"], "all_gather");
  EXPECT_EQ(read[2]["axis"], "data");
  EXPECT_EQ(read[2]["number"], 2);
  EXPECT_EQ(read[2]["bytes"], 64);
  EXPECT_TRUE(read[2]["end"].is_null());
  EXPECT_EQ(flight_file_name(3), "flight-00003.json");
}

TEST(ProcessState, OfThisProcessAndOfNone) {
  EXPECT_EQ(process_state(::getpid()), ProcessState::kRunning);
  EXPECT_EQ(process_state(0x3FFFFFFF), ProcessState::kGone);
  EXPECT_NE(own_pid_namespace(), 0u);
}

}  // namespace
}  // namespace athanor::parallel
