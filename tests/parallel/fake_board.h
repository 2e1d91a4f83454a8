// A progress board of some ranks of one machine in plain memory, one writer per rank.
#pragma once

#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "parallel/progress_board.h"
#include "parallel/stall_report.h"

namespace athanor::parallel {

inline void expect_parts(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts)
    EXPECT_NE(text.find(part), std::string::npos) << part << "\nin:\n" << text;
}

class FakeBoard {
 public:
  /// `seen` of `world_size` ranks have slots here.
  FakeBoard(std::vector<int> seen, int world_size)
      : seen_(std::move(seen)), slots_(seen_.size()), view_{std::vector<RankView>(world_size), names, 0, 0} {
    for (size_t i = 0; i < seen_.size(); ++i) {
      slots_[i].state = RankState::kRunning;
      slots_[i].pid = 1000 + seen_[i];
      boards_.push_back(std::make_unique<ProgressBoard>(slots_.data(), seen_, seen_[i], world_size));
      view_.ranks[seen_[i]] = {&slots_[i], "here", ProcessState::kSleeping};
    }
    for (RankView& rank : view_.ranks)
      if (!rank.slot) rank.host = "elsewhere";
  }
  FakeBoard(const FakeBoard&) = delete;
  FakeBoard& operator=(const FakeBoard&) = delete;
  explicit FakeBoard(int world_size) : FakeBoard(first_ranks(world_size), world_size) {}

  static std::vector<int> first_ranks(int count) {
    std::vector<int> ranks(count);
    std::iota(ranks.begin(), ranks.end(), 0);
    return ranks;
  }

  ProgressBoard& of(int world_rank) {
    for (size_t i = 0; i < seen_.size(); ++i)
      if (seen_[i] == world_rank) return *boards_[i];
    throw std::out_of_range("no such rank here");
  }
  Progress progress_of(int world_rank) { return Progress(&of(world_rank).own()); }

  /// All of them join `axis_idx` as one group.
  void join(int axis_idx, const std::vector<int>& world_ranks) {
    for (int rank : world_ranks)
      if (view_.ranks[rank].slot) of(rank).join(axis_idx, world_ranks);
  }
  void complete(int world_rank, const BoardCall& call) { of(world_rank).done(of(world_rank).begin(call)); }
  void wait(int world_rank, const BoardCall& call) { of(world_rank).waiting(of(world_rank).begin(call)); }

  StallView& view() {
    view_.now_ns = unix_ns();
    return view_;
  }

  const std::vector<std::string> names = {"world", "data", "expert"};

 private:
  std::vector<int> seen_;
  std::vector<BoardSlot> slots_;
  std::vector<std::unique_ptr<ProgressBoard>> boards_;
  StallView view_;
};

}  // namespace athanor::parallel
