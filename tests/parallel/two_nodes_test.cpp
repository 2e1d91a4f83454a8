// Four ranks on two nodes (scripts/two_nodes.sh): what a session sees there, that every collective crosses
// between the nodes, and what can be known of a rank on the other one.
#include <cstring>
#include <numeric>
#include <set>

#include <ATen/ops/arange.h>
#include <ATen/ops/concat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "parallel/ordered_reduction.h"
#include "tests/parallel/mpi_test_main.h"

namespace athanor::parallel {
namespace {

using tests::session;

constexpr int kRanksPerNode = 2;
constexpr int64_t kNameBytes = 64;

std::vector<std::string> hosts_of_all_ranks() {
  const at::Tensor own = at::zeros({kNameBytes}, at::kByte);
  std::strncpy(static_cast<char*>(own.data_ptr()), session().host().c_str(), kNameBytes - 1);
  const at::Tensor all = at::zeros({kNameBytes * session().size()}, at::kByte);
  session().world().all_gather(all, own).wait();
  std::vector<std::string> names;
  for (int r = 0; r < session().size(); ++r)
    names.emplace_back(static_cast<const char*>(all.const_data_ptr()) + r * kNameBytes);
  return names;
}

TEST(TwoNodes, RanksKnowTheirNode) {
  ASSERT_EQ(session().size(), 2 * kRanksPerNode);
  EXPECT_EQ(session().local_size(), kRanksPerNode);
  EXPECT_EQ(session().local_rank(), session().rank() % kRanksPerNode);
  const auto hosts = hosts_of_all_ranks();
  EXPECT_EQ(std::set<std::string>(hosts.begin(), hosts.end()), (std::set<std::string>{"node1", "node2"}));
  for (int r = 0; r < session().size(); ++r)
    EXPECT_EQ(hosts[r] == session().host(), r / kRanksPerNode == session().rank() / kRanksPerNode) << r;
}

TEST(TwoNodes, CollectivesCross) {
  Communicator& world = session().world();
  const int64_t n = world.size(), rank = world.rank(), count = 300000;
  const at::Tensor gathered = at::zeros({n * count});
  world.all_gather(gathered, at::arange(count, at::kFloat) + static_cast<double>(rank)).wait();
  std::vector<int64_t> out_splits, in_splits;
  std::vector<at::Tensor> expected;
  for (int64_t r = 0; r < n; ++r) {
    EXPECT_TRUE(at::equal(gathered.narrow(0, r * count, count),
                          at::arange(count, at::kFloat) + static_cast<double>(r)));
    in_splits.push_back((rank + r) * 1000);
    out_splits.push_back((rank + r) * 1000);
    expected.push_back(at::full({(rank + r) * 1000}, static_cast<double>(r), at::kFloat));
  }
  const int64_t num_rows = std::accumulate(out_splits.begin(), out_splits.end(), int64_t{0});
  const at::Tensor exchanged = at::zeros({num_rows});
  world
      .all_to_all(exchanged, at::full({num_rows}, static_cast<double>(rank), at::kFloat), out_splits,
                  in_splits)
      .wait();
  EXPECT_TRUE(at::equal(exchanged, at::concat(expected)));
  const at::Tensor sum = at::full({5}, rank + 1, at::kLong);
  world.all_reduce(sum, ReduceOp::kSum).wait();
  EXPECT_TRUE(at::equal(sum, at::full({5}, n * (n + 1) / 2, at::kLong)));
  const at::Tensor data = at::full({5}, static_cast<double>(rank), at::kFloat);
  OrderedReduction(world).all_reduce(data);
  EXPECT_TRUE(at::equal(data, at::full({5}, n * (n - 1) / 2, at::kFloat)));
  const at::Tensor text = at::full({100000}, static_cast<double>(rank), at::kFloat);
  world.broadcast(text, 3).wait();
  EXPECT_TRUE(at::equal(text, at::full({100000}, 3.0, at::kFloat)));
}

// A rank does not see the board of the other node: it says so instead of guessing.
TEST(TwoNodes, ALateRankOfTheOtherNodeIsNamedAsSuch) {
  std::vector<int> everybody(session().size());
  std::iota(everybody.begin(), everybody.end(), 0);
  session().set_timeout(0.5);
  const auto comm = session().split("late", everybody);
  session().set_timeout(20);
  const int late = session().size() - 1;
  if (session().rank() != late) {
    std::string message;
    try {
      comm->all_gather(at::zeros({session().size()}), at::zeros({1})).wait();
    } catch (const core::CommError& error) {
      message = error.what();
    }
    const bool is_far = session().rank() / kRanksPerNode != late / kRanksPerNode;
    EXPECT_NE(message.find("rank 3 (world rank 3)"), std::string::npos) << message;
    EXPECT_EQ(message.find("another machine") != std::string::npos, is_far) << message;
  }
  session().world().barrier();
}

}  // namespace
}  // namespace athanor::parallel
