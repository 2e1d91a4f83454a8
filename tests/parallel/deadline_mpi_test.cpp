// A rank that is late, lost or in disagreement is reported by the others: which call, which rank, in time.
#include <algorithm>
#include <chrono>
#include <functional>
#include <numeric>
#include <optional>
#include <thread>

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "parallel/faulty_communicator.h"
#include "parallel/ordered_reduction.h"
#include "tests/parallel/mpi_test_main.h"

namespace athanor::parallel {
namespace {

using tests::session;

constexpr double kDeadlineSeconds = 0.25;

std::unique_ptr<Communicator> impatient(const std::string& axis) {
  std::vector<int> everybody(session().size());
  std::iota(everybody.begin(), everybody.end(), 0);
  session().set_timeout(kDeadlineSeconds);
  auto comm = session().split(axis, everybody);
  session().set_timeout(20);
  return comm;
}

int late_rank() {
  return session().size() - 1;
}

void meet_again() {
  session().world().barrier();
}

struct Outcome {
  std::string error;  // empty: none
  double seconds = 0;
};

Outcome outcome_of(const std::function<void()>& call) {
  Outcome outcome;
  const auto begin = std::chrono::steady_clock::now();
  try {
    call();
  } catch (const core::CommError& error) {
    outcome.error = error.what();
  }
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return outcome;
}

void expect_mentions(const std::string& message, const std::vector<std::string>& words) {
  for (const auto& word : words)
    EXPECT_NE(message.find(word), std::string::npos) << word << " in: " << message;
}

void expect_report(const Outcome& outcome, const std::string& verb, const std::string& axis) {
  EXPECT_GE(outcome.seconds, kDeadlineSeconds);
  EXPECT_LT(outcome.seconds, 2 * kDeadlineSeconds);
  expect_mentions(outcome.error,
                  {verb + " #2 on axis " + axis, " s at rank",
                   fmt::format("rank {} (world rank {}) has not arrived", late_rank(), late_rank()),
                   "barrier #1 on axis " + axis});
}

struct Call {
  std::string verb;
  std::function<void(Communicator&)> make;
};

std::vector<Call> calls() {
  const int64_t n = session().size();
  return {
      {"barrier", [](Communicator& comm) { comm.barrier(); }},
      {"all_gather", [n](Communicator& comm) { comm.all_gather(at::zeros({8 * n}), at::zeros({8})).wait(); }},
      {"all_to_all",
       [n](Communicator& comm) {
         const std::vector<int64_t> splits(n, 4);
         comm.all_to_all(at::zeros({4 * n}), at::zeros({4 * n}), splits, splits).wait();
       }},
      {"all_reduce",
       [](Communicator& comm) { comm.all_reduce(at::zeros({3}, at::kLong), ReduceOp::kSum).wait(); }},
      {"broadcast", [](Communicator& comm) { comm.broadcast(at::zeros({3}), late_rank()).wait(); }}};
}

TEST(Deadline, EveryCollectiveReportsTheLateRank) {
  if (session().size() == 1) return;  // nobody to wait for
  for (const Call& call : calls()) {
    const auto comm = impatient("late_" + call.verb);
    comm->barrier();
    if (session().rank() != late_rank()) {
      expect_report(outcome_of([&] { call.make(*comm); }), call.verb, comm->axis());
      const Outcome again = outcome_of([&] { call.make(*comm); });
      expect_mentions(again.error, {"after an earlier failure"});
      EXPECT_LT(again.seconds, 0.1);
    } else {
      std::this_thread::sleep_for(std::chrono::duration<double>(2.2 * kDeadlineSeconds));
    }
    meet_again();
  }
}

TEST(Deadline, LatenessWithinItIsNoError) {
  if (session().size() == 1) return;
  const auto inner = impatient("slow");
  std::vector<Fault> faults;
  if (session().rank() == late_rank()) faults = {{.kind = Fault::Kind::kDelay, .call = 0, .delay_s = 0.1}};
  FaultyCommunicator comm(*inner, faults);
  EXPECT_EQ(outcome_of([&] { comm.barrier(); }).error, "");
  meet_again();
}

TEST(Deadline, ASkippedCollectiveIsReported) {
  if (session().size() == 1) return;
  const auto inner = impatient("skipping");
  std::vector<Fault> faults;
  if (session().rank() == late_rank()) faults = {{.kind = Fault::Kind::kSkip, .call = 1}};
  FaultyCommunicator comm(*inner, faults);
  comm.barrier();
  const Outcome outcome =
      outcome_of([&] { comm.all_gather(at::zeros({session().size()}), at::zeros({1})).wait(); });
  if (session().rank() != late_rank())
    expect_mentions(outcome.error, {"all_gather #2 on axis skipping", fmt::format("rank {}", late_rank())});
  std::this_thread::sleep_for(std::chrono::duration<double>(2 * kDeadlineSeconds));
  meet_again();
}

TEST(Deadline, ADifferentCollectiveIsReported) {
  if (session().size() == 1) return;
  const auto comm = impatient("differing");
  const Outcome outcome = outcome_of([&] {
    if (session().rank() == late_rank())
      comm->broadcast(at::zeros({1}), (late_rank() + 1) % session().size()).wait();
    else
      comm->all_gather(at::zeros({session().size()}), at::zeros({1})).wait();
  });
  if (session().rank() != late_rank())
    expect_mentions(outcome.error, {"all_gather #1", "disagrees", "broadcast #1 on axis differing"});
  meet_again();
}

// The library itself may reduce two lengths to a wrong sum, or broadcast less than was asked for.
TEST(Deadline, AReductionOrBroadcastOfAnotherSizeIsReported) {
  if (session().size() == 1) return;
  const int64_t count = session().rank() == late_rank() ? 3 : 2;
  const auto reduce = [&](Communicator& comm) {
    comm.all_reduce(at::zeros({count}, at::kLong), ReduceOp::kSum).wait();
  };
  const auto broadcast = [&](Communicator& comm) { comm.broadcast(at::zeros({count}, at::kLong), 0).wait(); };
  const std::vector<Call> both = {{"all_reduce", reduce}, {"broadcast", broadcast}};
  for (const Call& call : both) {
    const auto comm = impatient("lengths_" + call.verb);
    const Outcome outcome = outcome_of([&] { call.make(*comm); });
    // A root may be gone before anybody disagrees with it.
    if (call.verb == "all_reduce" || session().rank() == late_rank())
      expect_mentions(outcome.error, {call.verb + " #1 on axis lengths_", "disagrees", "(16 bytes",
                                      "(24 bytes", "same configuration"});
    EXPECT_LT(outcome.seconds, 2 * kDeadlineSeconds);
    meet_again();
  }
}

// MPI may write all of a message that is longer than the memory that awaits it: whoever comes later sends
// nothing.
TEST(Deadline, AGatherOfAnotherSizeIsNotBegun) {
  if (session().size() == 1) return;
  const auto comm = impatient("sizes");
  const int64_t n = session().size(), expected = 8, longer = 1 << 20;
  const at::Tensor memory = at::zeros({n * longer});
  const bool is_late = session().rank() == late_rank();
  std::optional<Pending> pending;
  if (!is_late) pending = comm->all_gather(memory.narrow(0, 0, n * expected), at::zeros({expected}));
  meet_again();
  const Outcome outcome = outcome_of([&] {
    if (is_late)
      comm->all_gather(at::zeros({n * longer}), at::full({longer}, 7.0f, at::kFloat));
    else
      pending->wait();
  });
  expect_mentions(outcome.error,
                  {"all_gather #1 on axis sizes (32 bytes)", "all_gather #1 on axis sizes (4194304 bytes)"});
  const float* values = memory.const_data_ptr<float>();
  EXPECT_TRUE(
      std::all_of(values + n * expected, values + n * longer, [](float value) { return value == 0; }));
  meet_again();
}

TEST(Deadline, ASilentSenderIsReported) {
  if (session().size() == 1) return;
  const auto comm = impatient("messages");
  if (session().rank() == 0) {
    const Outcome outcome = outcome_of([&] { comm->recv(at::zeros({3}), late_rank(), 1).wait(); });
    expect_mentions(outcome.error, {"recv", "axis messages", fmt::format("rank {}", late_rank())});
    EXPECT_LT(outcome.seconds, 2 * kDeadlineSeconds);
  }
  meet_again();
}

// Rank 0 believes in larger rows than the others: a shape that differs between ranks.
TEST(Deadline, PiecesOfAnotherSizeAreReported) {
  if (session().size() == 1) return;
  for (const int64_t mistaken : {0, 3, 5}) {
    const auto comm = impatient("sizes");
    const int64_t n = session().size(), count = session().rank() == 0 ? mistaken : 4;
    const Outcome outcome =
        outcome_of([&] { comm->all_gather(at::zeros({n * count}), at::zeros({count})).wait(); });
    if (session().rank() == 0) {
      expect_mentions(outcome.error,
                      {"all_gather #1 on axis sizes", fmt::format("{}", 4 * mistaken), "same configuration"});
    }
    meet_again();
  }
}

TEST(Deadline, ARankThatNeverReducesIsReported) {
  if (session().size() == 1) return;
  const auto comm = impatient("reduction");
  if (session().rank() != late_rank()) {
    OrderedReduction reduction(*comm);
    const at::Tensor in = at::zeros({1024 * session().size()});
    const Outcome outcome = outcome_of([&] { reduction.reduce_scatter(at::zeros({1024}), in).wait(); });
    expect_mentions(outcome.error, {"all_to_all #1 on axis reduction", "has not arrived"});
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(kDeadlineSeconds));
  meet_again();
}

}  // namespace
}  // namespace athanor::parallel
