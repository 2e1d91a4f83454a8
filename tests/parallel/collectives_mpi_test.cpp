// Every collective against what it must give, at any world size; each value says where it comes from.
#include <ATen/ops/arange.h>
#include <ATen/ops/concat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "parallel/mesh_communicators.h"
#include "parallel/recording_communicator.h"
#include "tests/parallel/mpi_test_main.h"

namespace athanor::parallel {
namespace {

using tests::session;
using tests::world;

int next_rank() {
  return (world().rank() + 1) % world().size();
}
int previous_rank() {
  return (world().rank() + world().size() - 1) % world().size();
}

/// What rank `from` sends to rank `to`: `rows` rows, recognisable.
at::Tensor letter(int from, int to, int64_t rows, at::ScalarType dtype) {
  return (at::arange(rows * 3, at::kFloat).view({rows, 3}) + 100 * from + 10 * to).to(dtype);
}

TEST(Collectives, AllGatherOfEveryDtypeAlsoInPlace) {
  for (const at::ScalarType dtype :
       {at::kFloat, at::kBFloat16, at::kLong, at::kByte, at::kDouble, at::kInt}) {
    std::vector<at::Tensor> parts;
    for (int r = 0; r < world().size(); ++r) parts.push_back(letter(r % 2, 0, 5, dtype));
    const at::Tensor expected = at::concat(parts);
    const at::Tensor out = at::zeros_like(expected);
    world().all_gather(out, parts[world().rank()]).wait();
    EXPECT_TRUE(at::equal(out, expected));
    out.zero_();
    const at::Tensor own = out.narrow(0, 5 * world().rank(), 5);
    own.copy_(parts[world().rank()]);
    world().all_gather(out, own).wait();
    EXPECT_TRUE(at::equal(out, expected));
  }
}

void check_all_to_all(at::ScalarType dtype, const std::function<int64_t(int, int)>& num_rows) {
  std::vector<int64_t> in_splits, out_splits;
  std::vector<at::Tensor> to_send, to_get;
  for (int r = 0; r < world().size(); ++r) {
    in_splits.push_back(num_rows(world().rank(), r));
    out_splits.push_back(num_rows(r, world().rank()));
    to_send.push_back(letter(world().rank(), r, in_splits.back(), dtype));
    to_get.push_back(letter(r, world().rank(), out_splits.back(), dtype));
  }
  const at::Tensor expected = at::concat(to_get), out = at::zeros_like(expected);
  world().all_to_all(out, at::concat(to_send), out_splits, in_splits).wait();
  EXPECT_TRUE(at::equal(out, expected));
}

TEST(Collectives, AllToAllEvenUnevenAndEmpty) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kInt}) {
    check_all_to_all(dtype, [](int, int) { return 4; });
    check_all_to_all(dtype, [](int from, int to) { return (from * 7 + to * 3) % 5; });
    check_all_to_all(dtype, [](int, int to) { return to == 0 ? 2 : 0; });  // all other ranks get nothing
    check_all_to_all(dtype, [](int, int) { return 0; });
  }
}

TEST(Collectives, MessagesLargerThanASegmentArriveWhole) {
  check_all_to_all(at::kFloat, [](int from, int to) { return to == 0 ? 500000 + from : 0; });
  const at::Tensor in = at::full({(int64_t{5} << 18) + 3}, world().rank(), at::kFloat);
  const at::Tensor out = at::empty({in.numel() * world().size()});
  world().all_gather(out, in).wait();
  for (int r = 0; r < world().size(); ++r)
    EXPECT_TRUE(at::equal(out.narrow(0, r * in.numel(), in.numel()), at::full_like(in, r)));
}

TEST(Collectives, ManyInFlightCompleteInAnyOrderOfWaiting) {
  constexpr int kInFlight = 8;
  std::vector<at::Tensor> outs, expected;
  std::vector<Pending> pending;
  for (int i = 0; i < kInFlight; ++i) {
    std::vector<at::Tensor> parts;
    for (int r = 0; r < world().size(); ++r) parts.push_back(letter(r, i, 1000 + i, at::kFloat));
    expected.push_back(at::concat(parts));
    outs.push_back(at::zeros_like(expected.back()));
    pending.push_back(world().all_gather(outs.back(), parts[world().rank()]));
  }
  const at::Tensor count = at::full({1}, 1, at::kLong);
  Pending reduction = world().all_reduce(count, ReduceOp::kSum);
  for (int i = kInFlight - 1; i >= 0; --i) pending[i].wait();
  reduction.wait();
  for (int i = 0; i < kInFlight; ++i) EXPECT_TRUE(at::equal(outs[i], expected[i])) << i;
  EXPECT_EQ(*count.const_data_ptr<int64_t>(), world().size());
}

TEST(Collectives, AllReduceOfIntegersAndExtremes) {
  const int64_t n = world().size();
  const at::Tensor sum = at::arange(5, at::kLong) + (int64_t{1} << 40) * world().rank();
  world().all_reduce(sum, ReduceOp::kSum).wait();
  EXPECT_TRUE(at::equal(sum, at::arange(5, at::kLong) * n + (int64_t{1} << 40) * (n * (n - 1) / 2)));
  const at::Tensor highest = at::full({3}, -1.5 - world().rank()), lowest = highest.clone();
  world().all_reduce(highest, ReduceOp::kMax).wait();
  world().all_reduce(lowest, ReduceOp::kMin).wait();
  EXPECT_TRUE(at::equal(highest, at::full({3}, -1.5)));
  EXPECT_TRUE(at::equal(lowest, at::full({3}, -0.5 - n)));
}

TEST(Collectives, BroadcastFromEveryRoot) {
  for (int root = 0; root < world().size(); ++root) {
    const at::Tensor data = letter(world().rank(), 0, 6, at::kBFloat16);
    world().broadcast(data, root).wait();
    EXPECT_TRUE(at::equal(data, letter(root, 0, 6, at::kBFloat16)));
  }
}

TEST(Collectives, MessagesAroundTheRing) {
  if (world().size() == 1) return;  // nobody to send to: communicator_test checks that this is refused
  for (const int64_t rows : {0, 1, 700000}) {
    const at::Tensor in = at::zeros({rows, 3});
    Pending arriving = world().recv(in, previous_rank(), 5);
    const at::Tensor out = letter(world().rank(), next_rank(), rows, at::kFloat);
    Pending leaving = world().send(out, next_rank(), 5);
    arriving.wait();
    leaving.wait();
    EXPECT_TRUE(at::equal(in, letter(previous_rank(), world().rank(), rows, at::kFloat)));
  }
}

TEST(Collectives, RecordedTrafficIsWhatLeavesAndArrives) {
  RecordingCommunicator comm(world());
  const int64_t others = comm.size() - 1;
  const at::Tensor in = at::zeros({10});
  comm.all_gather(at::zeros({10 * comm.size()}), in).wait();
  EXPECT_EQ(comm.traffic(Verb::kAllGather).sent_bytes, others * 40);
  EXPECT_EQ(comm.traffic(Verb::kAllGather).received_bytes, others * 40);
  const std::vector<int64_t> splits(comm.size(), 2);
  const at::Tensor rows = at::zeros({2 * comm.size(), 4}, at::kBFloat16);
  comm.all_to_all(at::empty_like(rows), rows, splits, splits).wait();
  EXPECT_EQ(comm.traffic(Verb::kAllToAll).sent_bytes, others * 16);
  comm.broadcast(in, 0).wait();
  EXPECT_EQ(comm.traffic(Verb::kBroadcast).sent_bytes, comm.rank() == 0 ? others * 40 : 0);
}

TEST(MeshCommunicators, EveryAxisConnectsItsGroup) {
  const int n = world().size();
  std::vector<MeshDegrees> cases = {{.data = n, .expert = n}};
  if (n == 8) cases.push_back({.pipeline = 2, .data = 2, .expert = 2, .tensor = 2});
  for (const MeshDegrees& degrees : cases) {
    const Mesh mesh(degrees, n);
    MeshCommunicators communicators(session(), mesh);
    for (const Axis axis : kAllAxes) {
      Communicator& comm = communicators[axis];
      ASSERT_EQ(comm.size(), mesh.degree(axis));
      ASSERT_EQ(comm.rank(), mesh.index(axis, session().rank()));
      const at::Tensor ranks = at::zeros({comm.size()}, at::kInt);
      comm.all_gather(ranks, at::full({1}, session().rank(), at::kInt)).wait();
      const int* values = ranks.const_data_ptr<int>();
      EXPECT_EQ(std::vector<int>(values, values + comm.size()), mesh.group(axis, session().rank()))
          << name_of(axis);
    }
  }
}

TEST(Session, KnowsItsMachine) {
  EXPECT_EQ(session().local_size(), session().size());  // tests run on one machine
  EXPECT_EQ(session().local_rank(), session().rank());
  EXPECT_FALSE(session().host().empty());
}

}  // namespace
}  // namespace athanor::parallel
