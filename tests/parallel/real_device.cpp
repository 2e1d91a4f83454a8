#include <cstdlib>

#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "tests/parallel/mpi_test_main.h"
#include "tests/parallel/test_device.h"

namespace athanor::tests {
namespace {

c10::impl::VirtualGuardImpl cuda() {
  return c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA);
}

}  // namespace

std::string nccl_library() {
  const char* file = std::getenv("ATHANOR_NCCL_LIBRARY");
  return file ? file : "libnccl.so.2";
}

void adjust_session(parallel::SessionOptions& options) {
  options.on_cuda = true;
  options.share_devices = true;  // several ranks on one GPU are a case
  options.nccl_library = nccl_library();
}

at::Tensor on_device(const at::Tensor& host) {
  return host.to(cuda().getDevice());
}

at::Tensor on_host(const at::Tensor& device) {
  return device.to(at::kCPU);
}

void wait_for_stream() {
  cuda().synchronizeStream(cuda().getStream(cuda().getDevice()));
}

struct BusyStream::State {
  at::Tensor numbers;
};

// Element-wise work, which needs no other library.
BusyStream::BusyStream() : state_(std::make_shared<State>()) {
  state_->numbers = at::ones({int64_t{256} << 20}, at::TensorOptions(cuda().getDevice()).dtype(at::kFloat));
  for (int i = 0; i < 300; ++i) state_->numbers.mul_(1.0);
}

BusyStream::~BusyStream() = default;
void BusyStream::release() {}

}  // namespace athanor::tests
