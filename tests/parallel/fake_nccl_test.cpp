// What the library reports on its own: only the stand-in fails on request.
#include <dlfcn.h>
#include <thread>

#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "parallel/nccl_communicator.h"
#include "parallel/self_communicator.h"
#include "tests/parallel/mpi_test_main.h"
#include "tests/parallel/test_device.h"

namespace athanor::parallel {
namespace {

constexpr int kInvalidUsage = 5, kRemoteError = 6;

void set(const char* function, int result) {
  void* library = dlopen(tests::nccl_library().c_str(), RTLD_NOW | RTLD_NOLOAD);
  ASSERT_NE(library, nullptr);
  reinterpret_cast<void (*)(int)>(dlsym(library, function))(result);
}

std::unique_ptr<NcclCommunicator> alone(const std::shared_ptr<NcclJob>& job) {
  const auto names = std::make_shared<std::vector<std::string>>(1, "alone");
  return std::make_unique<NcclCommunicator>(job, DeviceGroup{"alone", {0}, 0, 0, names, nullptr, 1.0},
                                            std::make_unique<SelfCommunicator>("alone"));
}

std::shared_ptr<NcclJob> new_job() {
  return std::make_shared<NcclJob>(NcclLibrary::open(tests::nccl_library()), tests::session().device());
}

template <typename Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const core::CommError& error) {
    return error.what();
  }
  return "";
}

TEST(FakeNccl, AnErrorOnAnotherRankIsNoticedWithoutACall) {
  const auto job = new_job();
  const auto comm = alone(job);
  set("fake_nccl_set_async_error", kRemoteError);
  std::string error;
  for (int i = 0; i < 500 && error.empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    error = error_of([&] { job->check(); });
  }
  set("fake_nccl_set_async_error", 0);
  EXPECT_NE(error.find("axis alone"), std::string::npos) << error;
  EXPECT_NE(error.find("remote process exited (told by the fake)"), std::string::npos) << error;
}

TEST(FakeNccl, RefusalToConnectNamesTheAxis) {
  const auto job = new_job();
  set("fake_nccl_set_join_error", kInvalidUsage);
  const std::string error = error_of([&] { alone(job); });
  set("fake_nccl_set_join_error", 0);
  EXPECT_NE(error.find("axis alone cannot be joined over NCCL"), std::string::npos) << error;
  EXPECT_NE(error.find("invalid usage"), std::string::npos) << error;
}

}  // namespace
}  // namespace athanor::parallel
