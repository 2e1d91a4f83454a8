// A CUDA stream that needs no GPU: work runs in order on a thread of its own. What the fake device
// (fake_device.cpp) hands out as a stream's native handle, and the fake NCCL (fake_nccl.cpp) enqueues on.
#pragma once

#include <functional>

namespace athanor::tests {

class FakeStream {
 public:
  virtual ~FakeStream() = default;
  virtual void enqueue(std::function<void()> work) = 0;
};

}  // namespace athanor::tests
