// The NCCL backend: every verb against what it must give, beside host traffic of the same axis, and what
// happens when a rank is late, the library fails or the job is aborted. Runs on the stand-in for a GPU and
// for NCCL in every build that has nccl.h, and unchanged on a real GPU.
#include <chrono>
#include <functional>
#include <numeric>
#include <thread>

#include <ATen/ops/arange.h>
#include <ATen/ops/concat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "parallel/cuda_device.h"
#include "parallel/nccl_communicator.h"
#include "parallel/self_communicator.h"
#include "tests/parallel/mpi_test_main.h"
#include "tests/parallel/test_device.h"

namespace athanor::parallel {
namespace {

using tests::on_device;
using tests::on_host;
using tests::session;

constexpr double kDeadlineSeconds = 1.0;

std::vector<int> everybody() {
  std::vector<int> ranks(session().size());
  std::iota(ranks.begin(), ranks.end(), 0);
  return ranks;
}

// A backend of its own: what fails in it does not end the session's. The host side for its setup is an axis
// of the session (host tensors travel over MPI there).
struct OwnBackend {
  std::shared_ptr<NcclJob> job;
  std::unique_ptr<NcclCommunicator> comm;
};

std::unique_ptr<Communicator> host_side(const std::string& axis) {
  return session().split(axis, everybody());
}

OwnBackend own_backend(const std::string& axis, double timeout_s) {
  OwnBackend backend;
  backend.job = std::make_shared<NcclJob>(NcclLibrary::open(tests::nccl_library()), session().device());
  const auto names = std::make_shared<std::vector<std::string>>(1, axis);
  const DeviceGroup group{axis, everybody(), session().rank(), 0, names, nullptr, timeout_s};
  backend.comm = std::make_unique<NcclCommunicator>(backend.job, group, host_side(axis + " (host)"));
  return backend;
}

// Rank 0 of 1 has no NCCL in its session, so the backend is made by hand there.
struct Axis {
  OwnBackend own;
  std::unique_ptr<Communicator> from_session;
  Communicator& operator*() const { return from_session ? *from_session : *own.comm; }
  Communicator* operator->() const { return &**this; }
};

Axis make_axis(const std::string& name) {
  if (session().size() == 1) return {own_backend(name, 20), nullptr};
  return {{}, session().split(name, everybody())};
}

at::Tensor letter(int from, int to, int64_t count, at::ScalarType dtype = at::kFloat) {
  return (at::arange(count, at::kFloat) + 100 * from + 10 * to).to(dtype);
}

TEST(Nccl, AllGatherOfEveryDtypeAlsoInPlace) {
  const Axis axis = make_axis("gather");
  for (const at::ScalarType dtype :
       {at::kFloat, at::kBFloat16, at::kLong, at::kByte, at::kDouble, at::kInt}) {
    std::vector<at::Tensor> parts;
    for (int r = 0; r < axis->size(); ++r) parts.push_back(letter(r % 2, 0, 1001, dtype));
    const at::Tensor expected = at::concat(parts);
    const at::Tensor out = on_device(at::zeros_like(expected)), in = on_device(parts[axis->rank()]);
    axis->all_gather(out, in).wait();
    EXPECT_TRUE(at::equal(on_host(out), expected)) << c10::toString(dtype);
  }
}

TEST(Nccl, AllGatherOfFp8CodesKeepsEveryByte) {
  const Axis axis = make_axis("codes");
  const at::Tensor bytes = at::arange(256, at::kInt).to(at::kByte);
  const at::Tensor in = on_device(bytes),
                   out = on_device(at::concat(std::vector(axis->size(), bytes)).zero_());
  axis->all_gather(out.view(at::kFloat8_e4m3fn), in.view(at::kFloat8_e4m3fn)).wait();
  EXPECT_TRUE(at::equal(on_host(out), at::concat(std::vector(axis->size(), bytes))));
}

TEST(Nccl, ExchangeEvenUnevenAndEmpty) {
  const Axis axis = make_axis("exchange");
  const std::vector<std::function<int64_t(int, int)>> cases = {
      [](int, int) { return 4; }, [](int from, int to) { return (from * 7 + to * 3) % 5; },
      [](int, int to) { return to == 0 ? 200001 : 0; }, [](int, int) { return 0; }};
  for (const auto& count : cases) {
    std::vector<at::Tensor> in_pieces, out_pieces, expected;
    for (int r = 0; r < axis->size(); ++r) {
      in_pieces.push_back(on_device(letter(axis->rank(), r, count(axis->rank(), r))));
      expected.push_back(letter(r, axis->rank(), count(r, axis->rank())));
      out_pieces.push_back(on_device(at::zeros_like(expected.back())));
    }
    axis->exchange(out_pieces, in_pieces).wait();
    for (int r = 0; r < axis->size(); ++r) EXPECT_TRUE(at::equal(on_host(out_pieces[r]), expected[r])) << r;
  }
}

TEST(Nccl, AllReduceOfIntegersAndExtremes) {
  const Axis axis = make_axis("reduce");
  const int64_t n = axis->size(), rank = axis->rank();
  for (const at::ScalarType dtype : {at::kInt, at::kLong, at::kByte}) {
    const at::Tensor data = on_device(at::full({1000}, rank + 1, dtype));
    axis->all_reduce(data, ReduceOp::kSum).wait();
    EXPECT_TRUE(at::equal(on_host(data), at::full({1000}, n * (n + 1) / 2, dtype))) << c10::toString(dtype);
  }
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kInt}) {
    const at::Tensor highest = on_device(at::full({7}, -2 - rank, dtype));
    const at::Tensor lowest = on_device(at::full({7}, -2 - rank, dtype));
    axis->all_reduce(highest, ReduceOp::kMax).wait();
    axis->all_reduce(lowest, ReduceOp::kMin).wait();
    EXPECT_TRUE(at::equal(on_host(highest), at::full({7}, -2, dtype)));
    EXPECT_TRUE(at::equal(on_host(lowest), at::full({7}, -1 - n, dtype)));
  }
  const at::Tensor sum = on_device(at::zeros({3}));
  EXPECT_THROW(axis->all_reduce(sum, ReduceOp::kSum).wait(), core::InternalError);
}

TEST(Nccl, BroadcastFromEveryRoot) {
  const Axis axis = make_axis("broadcast");
  for (int root = 0; root < axis->size(); ++root) {
    const at::Tensor data = on_device(letter(axis->rank(), 0, 600, at::kBFloat16));
    axis->broadcast(data, root).wait();
    EXPECT_TRUE(at::equal(on_host(data), letter(root, 0, 600, at::kBFloat16)));
  }
}

// Everybody sends first, which would hang if a message occupied the axis until it is taken.
TEST(Nccl, MessagesAroundTheRingInBothDirections) {
  const Axis axis = make_axis("messages");
  const int n = axis->size(), rank = axis->rank();
  if (n == 1) {
    EXPECT_THROW(axis->send(on_device(at::zeros({1})), 0, 0).wait(), core::InternalError);
    return;
  }
  const int next = (rank + 1) % n, previous = (rank + n - 1) % n;
  std::vector<Pending> pending;
  std::vector<at::Tensor> arriving, expected;
  const auto receive = [&](int from, int64_t count) {
    arriving.push_back(on_device(at::zeros({count})));
    expected.push_back(letter(from, rank, count));
    pending.push_back(axis->recv(arriving.back(), from, 0));
  };
  for (const int64_t count : {3, 500000, 0, 17}) {
    pending.push_back(axis->send(on_device(letter(rank, next, count)), next, 0));
    pending.push_back(axis->send(on_device(letter(rank, previous, count)), previous, 0));
  }
  for (const int64_t count : {3, 500000, 0, 17}) {
    receive(previous, count);
    receive(next, count);
  }
  for (Pending& each : pending) each.wait();
  // On two ranks both neighbours are the same rank, whose messages come in the order it sent them.
  for (size_t i = 0; i < arriving.size() && n > 2; ++i)
    EXPECT_TRUE(at::equal(on_host(arriving[i]), expected[i])) << i;
  if (n == 2) {
    EXPECT_EQ(arriving.size(), 8u);
  }
}

TEST(Nccl, HostTensorsOfTheSameAxisTravelBeside) {
  if (session().size() == 1) return;  // the axis of a single rank has no device side
  const Axis axis = make_axis("beside");
  const at::Tensor on_gpu = on_device(at::full({5}, axis->rank(), at::kLong));
  const at::Tensor counter = at::full({5}, axis->rank(), at::kLong);
  Pending device = axis->all_reduce(on_gpu, ReduceOp::kSum), host = axis->all_reduce(counter, ReduceOp::kSum);
  host.wait();
  device.wait();
  EXPECT_TRUE(at::equal(on_host(on_gpu), counter));
  EXPECT_EQ(*counter.const_data_ptr<int64_t>(), int64_t{axis->size()} * (axis->size() - 1) / 2);
  axis->barrier();
}

// A call waits for the work before it on the device, not on the host, and the host does not wait at all.
TEST(Nccl, TheHostGoesOnWhileTheDeviceIsBusy) {
  const Axis axis = make_axis("overlap");
  const at::Tensor in = on_device(letter(axis->rank(), 0, 1000));
  const at::Tensor out = on_device(at::zeros({1000 * axis->size()}));
  axis->all_gather(out, in).wait();  // connects
  tests::wait_for_stream();
  tests::BusyStream busy;
  Pending pending = axis->all_gather(out, in);
  EXPECT_FALSE(pending.done());
  busy.release();
  pending.wait();
  tests::wait_for_stream();
  axis->barrier();
}

TEST(Nccl, MemoryMayBeGivenBackAfterTheWait) {
  const Axis axis = make_axis("lifetime");
  const at::Tensor out = on_device(at::zeros({4096 * axis->size()}));
  axis->register_memory(out);
  for (int i = 0; i < 20; ++i) {
    Pending pending = axis->all_gather(out, on_device(at::full({4096}, axis->rank() + i, at::kFloat)));
    pending.wait();
  }
  for (int r = 0; r < axis->size(); ++r)
    EXPECT_EQ(on_host(out).const_data_ptr<float>()[r * 4096], static_cast<float>(r + 19));
}

// ---- failures --------------------------------------------------------------------------------------------

struct Outcome {
  std::string error;
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

void meet_again() {
  session().world().barrier();
}

// The device hangs in a call that the last rank never makes; the host that waits for the device comes back.
TEST(Nccl, ASkippedCallEndsAtTheDeadline) {
  if (session().size() == 1) return;
  OwnBackend backend = own_backend("skipped", kDeadlineSeconds);
  const at::Tensor data = on_device(at::full({5}, 1, at::kLong));
  backend.comm->all_reduce(data, ReduceOp::kSum).wait();
  tests::wait_for_stream();
  meet_again();
  if (session().rank() != session().size() - 1) {
    const Outcome outcome = outcome_of([&] {
      backend.comm->all_reduce(data, ReduceOp::kSum).wait();
      tests::wait_for_stream();
      backend.comm->all_reduce(data, ReduceOp::kSum).wait();
    });
    EXPECT_NE(outcome.error.find("all_reduce #2 on axis skipped"), std::string::npos) << outcome.error;
    EXPECT_NE(outcome.error.find(fmt::format("world rank {}", session().rank())), std::string::npos);
    EXPECT_LT(outcome.seconds, 2 * kDeadlineSeconds);
    EXPECT_NE(outcome_of([&] { backend.comm->barrier(); }).error, "");
  }
  meet_again();
}

TEST(Nccl, AMessageThatNobodySendsEndsAtTheDeadline) {
  if (session().size() == 1) return;
  OwnBackend backend = own_backend("silent", kDeadlineSeconds);
  if (session().rank() == 0) {
    const Outcome outcome =
        outcome_of([&] { backend.comm->recv(on_device(at::zeros({3})), session().size() - 1, 0).wait(); });
    EXPECT_NE(outcome.error.find("recv #1 on axis silent"), std::string::npos) << outcome.error;
    EXPECT_LT(outcome.seconds, 2 * kDeadlineSeconds);
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(kDeadlineSeconds));
  meet_again();
}

TEST(Nccl, AnAbortFreesTheDeviceAndRefusesFurtherCalls) {
  OwnBackend backend = own_backend("aborted", 20);
  const at::Tensor data = on_device(at::full({5}, 1, at::kLong));
  backend.comm->all_reduce(data, ReduceOp::kSum).wait();
  tests::wait_for_stream();
  meet_again();
  if (session().rank() == 0) {
    if (session().size() > 1) backend.comm->all_reduce(data, ReduceOp::kSum).wait();
    backend.job->fail("the test gave up");
    tests::wait_for_stream();
    EXPECT_EQ(outcome_of([&] { backend.comm->all_reduce(data, ReduceOp::kSum).wait(); }).error,
              "the test gave up");
  }
  meet_again();
}

TEST(Nccl, AMissingLibraryIsAConfigError) {
  try {
    NcclLibrary::open("libnccl-that-is-nowhere.so");
    FAIL() << "opened";
  } catch (const core::ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("libnccl-that-is-nowhere.so"), std::string::npos);
  }
}

}  // namespace
}  // namespace athanor::parallel
