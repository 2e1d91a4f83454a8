// The device that the NCCL tests run on: a real GPU (real_device.cpp), or a stand-in over host memory
// (fake_device.cpp) that has streams and events but no arithmetic.
#pragma once

#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

namespace athanor::tests {

/// The NCCL to open: a path, or a name for the loader.
std::string nccl_library();
/// A copy of a host tensor on the device of the session.
at::Tensor on_device(const at::Tensor& host);
/// A copy on the host of what the current stream leaves in `device`.
at::Tensor on_host(const at::Tensor& device);
/// The host waits for the current stream.
void wait_for_stream();

/// Work on the current stream that takes a while: until `release`, or (on a GPU) a good part of a second.
class BusyStream {
 public:
  BusyStream();
  ~BusyStream();
  void release();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace athanor::tests
