// The single-process communicator, the argument checks that all backends share, the decorators, the progress
// board.
#include <vector>

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "parallel/faulty_communicator.h"
#include "parallel/ordered_reduction.h"
#include "parallel/recording_communicator.h"
#include "parallel/self_communicator.h"
#include "parallel/session.h"

namespace athanor::parallel {
namespace {

at::Tensor ramp(int64_t n, at::ScalarType dtype = at::kFloat) {
  return at::arange(n, at::kFloat).to(dtype);
}

TEST(SelfCommunicator, MovesDataToItself) {
  SelfCommunicator comm("data");
  const at::Tensor in = ramp(6, at::kBFloat16), out = at::zeros({6}, at::kBFloat16);
  comm.all_gather(out, in).wait();
  EXPECT_TRUE(at::equal(out, in));
  const at::Tensor rows = ramp(6).view({3, 2}), got = at::zeros({3, 2});
  Pending pending = comm.all_to_all(got, rows, {3}, {3});
  EXPECT_TRUE(pending.done());
  EXPECT_TRUE(at::equal(got, rows));
  comm.all_gather(in, in).wait();  // in its own place
  comm.barrier();
}

TEST(SelfCommunicator, ASessionOfOneProcessNeedsNoLauncher) {
  const auto session = start_session({});
  EXPECT_EQ(session->size(), 1);
  EXPECT_EQ(session->split("data", {0})->size(), 1);
  EXPECT_THROW(session->split("data", {0, 1}), core::InternalError);
  session->finish();
}

TEST(ArgumentChecks, RefuseWhatDoesNotFit) {
  SelfCommunicator comm("expert");
  const at::Tensor four = ramp(4), three = ramp(3), square = ramp(4).view({2, 2});
  using core::InternalError;
  EXPECT_THROW((void)comm.all_gather(four, three), InternalError);
  EXPECT_THROW((void)comm.all_gather(four, ramp(4, at::kBFloat16)), InternalError);
  EXPECT_THROW((void)comm.all_gather(at::Tensor(), four), InternalError);
  EXPECT_THROW((void)comm.all_gather(square.t(), four), InternalError);
  EXPECT_THROW((void)comm.all_gather(four.narrow(0, 1, 2), four.narrow(0, 0, 2)), InternalError);
  EXPECT_THROW((void)comm.exchange({four, four}, {four}), InternalError);
  EXPECT_THROW((void)comm.exchange({four}, {three}), InternalError);
  EXPECT_THROW((void)comm.all_to_all(ramp(4), four, {4}, {3}), InternalError);
  EXPECT_THROW((void)comm.all_to_all(ramp(4), four, {4}, {5, -1}), InternalError);
  EXPECT_THROW((void)comm.all_to_all(four, four, {4}, {4}), InternalError);
  EXPECT_THROW((void)comm.all_to_all(ramp(4), square, {4}, {2}), InternalError);
  EXPECT_THROW((void)comm.all_reduce(four, ReduceOp::kSum), InternalError);
  EXPECT_THROW((void)comm.all_reduce(ramp(4, at::kBFloat16), ReduceOp::kMax), InternalError);
  EXPECT_NO_THROW(comm.all_reduce(four, ReduceOp::kMax).wait());
  EXPECT_NO_THROW(comm.all_reduce(ramp(4, at::kLong), ReduceOp::kSum).wait());
  EXPECT_THROW((void)comm.broadcast(four, 1), InternalError);
  EXPECT_THROW((void)comm.send(four, 0, 0), InternalError);
}

TEST(ArgumentChecks, MessagesNameAxisAndShapes) {
  SelfCommunicator comm("expert");
  try {
    (void)comm.all_gather(ramp(4), ramp(3));
    FAIL();
  } catch (const core::InternalError& error) {
    EXPECT_NE(std::string(error.what()).find("axis expert: out Float [4] for 1 ranks of in Float [3]"),
              std::string::npos)
        << error.what();
  }
}

TEST(RecordingCommunicator, OneRankMovesNothing) {
  SelfCommunicator self("data");
  RecordingCommunicator comm(self);
  comm.all_gather(at::zeros({4}), ramp(4)).wait();
  comm.all_to_all(at::zeros({4}), ramp(4), {4}, {4}).wait();
  comm.barrier();
  EXPECT_EQ(comm.traffic(Verb::kAllGather).num_calls, 1);
  EXPECT_EQ(comm.total().num_calls, 3);
  EXPECT_EQ(comm.total().sent_bytes, 0);
  EXPECT_THROW((void)comm.all_gather(at::zeros({4}), ramp(3)), core::InternalError);
  EXPECT_EQ(comm.total().num_calls, 3);
  comm.reset();
  EXPECT_EQ(comm.total().num_calls, 0);
}

TEST(FaultyCommunicator, InjectsEachFaultAtItsCall) {
  SelfCommunicator self("data");
  FaultyCommunicator comm(self, {{.kind = Fault::Kind::kSkip, .call = 1},
                                 {.kind = Fault::Kind::kThrow, .call = 2},
                                 {.kind = Fault::Kind::kCorrupt, .call = 3},
                                 {.kind = Fault::Kind::kDelay, .call = 4, .delay_s = 0.02}});
  const at::Tensor in = ramp(4) + 1;
  const auto gathered = [&] {
    const at::Tensor out = at::zeros({4});
    comm.all_gather(out, in).wait();
    return out;
  };
  EXPECT_TRUE(at::equal(gathered(), in));
  EXPECT_TRUE(at::equal(gathered(), at::zeros({4})));
  EXPECT_THROW(gathered(), core::CommError);
  EXPECT_FALSE(at::equal(gathered(), in));
  EXPECT_TRUE(at::equal(gathered(), in));
  EXPECT_EQ(comm.num_calls(), 5);
}

TEST(OrderedReduction, OfOneRankIsACopyAndRoundsWithBf16) {
  SelfCommunicator comm("data");
  const at::Tensor in = ramp(10001) / 3;
  OrderedReduction exact(comm), rounded(comm, {.payload = at::kBFloat16, .scratch_bytes = 1});
  const at::Tensor out = at::zeros({10001});
  exact.reduce_scatter(out, in).wait();
  EXPECT_TRUE(at::equal(out, in));
  rounded.reduce_scatter(out, in).wait();
  EXPECT_TRUE(at::equal(out, in.to(at::kBFloat16).to(at::kFloat)));
  exact.all_reduce(out);
  EXPECT_THROW((void)exact.reduce_scatter(ramp(3), in), core::InternalError);
  EXPECT_THROW((void)exact.reduce_scatter(ramp(3), ramp(4), {4}), core::InternalError);
  EXPECT_THROW((void)exact.reduce_scatter(ramp(4), ramp(4, at::kBFloat16)), core::InternalError);
  EXPECT_THROW(OrderedReduction(comm, {.payload = at::kDouble}), core::InternalError);
}

}  // namespace
}  // namespace athanor::parallel
