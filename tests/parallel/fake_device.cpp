// A CUDA device without CUDA: LibTorch's CPU library leaves the place of the CUDA device free, and this takes
// it.
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "tests/parallel/fake_stream.h"
#include "tests/parallel/mpi_test_main.h"
#include "tests/parallel/test_device.h"

namespace athanor::tests {
namespace {

class ThreadStream final : public FakeStream {
 public:
  ThreadStream() : thread_([this] { run(); }) { thread_.detach(); }  // streams live as long as the process
  void enqueue(std::function<void()> work) override {
    const std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
    wake_.notify_one();
  }

 private:
  void run() {
    for (;;) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return !work_.empty(); });
      const auto work = std::move(work_.front());
      work_.pop_front();
      lock.unlock();
      work();
    }
  }
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> work_;
  std::thread thread_;
};

// One recording of an event; recording anew makes a new one.
using Recording = std::shared_ptr<std::atomic<bool>>;

struct FakeEvent {
  std::mutex mutex;
  Recording recording;
  Recording newest() {
    const std::lock_guard lock(mutex);
    return recording;
  }
};

constexpr c10::DeviceIndex kNumDevices = 8;

class FakeCuda final : public c10::impl::DeviceGuardImplInterface {
 public:
  c10::DeviceType type() const override { return c10::DeviceType::CUDA; }
  c10::Device exchangeDevice(c10::Device device) const override {
    const c10::Device before = getDevice();
    setDevice(device);
    return before;
  }
  c10::Device getDevice() const override { return {type(), current_device()}; }
  void setDevice(c10::Device device) const override { current_device() = device.index(); }
  void uncheckedSetDevice(c10::Device device) const noexcept override { current_device() = device.index(); }
  c10::DeviceIndex deviceCount() const noexcept override { return kNumDevices; }

  c10::Stream getStream(c10::Device device) const override {
    return c10::Stream(c10::Stream::UNSAFE, device, 0);
  }
  c10::Stream exchangeStream(c10::Stream stream) const override { return stream; }
  c10::Stream getStreamFromGlobalPool(c10::Device device, bool) const override {
    return c10::Stream(c10::Stream::UNSAFE, device, next_stream().fetch_add(1));
  }
  void* getStreamNativeHandle(c10::Stream stream) const override { return &stream_of(stream.id()); }

  void record(void** event, const c10::Stream& stream, c10::DeviceIndex, c10::EventFlag) const override {
    if (!*event) *event = new FakeEvent;
    auto* fake = static_cast<FakeEvent*>(*event);
    const auto recording = std::make_shared<std::atomic<bool>>(false);
    {
      const std::lock_guard lock(fake->mutex);
      fake->recording = recording;
    }
    stream_of(stream.id()).enqueue([recording] { *recording = true; });
  }
  void block(void* event, const c10::Stream& stream) const override {
    stream_of(stream.id()).enqueue([recording = static_cast<FakeEvent*>(event)->newest()] {
      while (!*recording) std::this_thread::sleep_for(std::chrono::microseconds(50));
    });
  }
  bool queryEvent(void* event) const override { return *static_cast<FakeEvent*>(event)->newest(); }
  void destroyEvent(void* event, c10::DeviceIndex) const noexcept override {
    delete static_cast<FakeEvent*>(event);
  }

  static FakeStream& stream_of(c10::StreamId id) {
    // Never destroyed: their threads wait in them when the process ends.
    static auto& mutex = *new std::mutex;
    static auto& streams = *new std::vector<ThreadStream*>;
    const std::lock_guard lock(mutex);
    while (streams.size() <= static_cast<size_t>(id)) streams.push_back(new ThreadStream);
    return *streams[id];
  }

 private:
  static c10::DeviceIndex& current_device() {
    thread_local c10::DeviceIndex index = 0;
    return index;
  }
  static std::atomic<c10::StreamId>& next_stream() {
    static std::atomic<c10::StreamId> next{1};
    return next;
  }
};

C10_REGISTER_GUARD_IMPL(CUDA, FakeCuda)

}  // namespace

std::string nccl_library() {
  return ATHANOR_FAKE_NCCL;
}

void adjust_session(parallel::SessionOptions& options) {
  options.on_cuda = true;
  options.share_devices = true;  // several ranks on one GPU are a case
  options.nccl_library = nccl_library();
}

at::Tensor on_device(const at::Tensor& host) {
  const at::Tensor kept = host.contiguous().clone();
  const c10::impl::VirtualGuardImpl cuda(c10::DeviceType::CUDA);
  // As the allocator of a GPU does it: memory is free for others when the stream has come past.
  const auto release = [kept](void*) { FakeCuda::stream_of(0).enqueue([kept] {}); };
  return at::from_blob(kept.data_ptr(), kept.sizes(), kept.strides(), release,
                       kept.options().device(cuda.getDevice()), cuda.getDevice());
}

at::Tensor on_host(const at::Tensor& device) {
  wait_for_stream();
  const at::Tensor host = at::empty(device.sizes(), device.options().device(at::kCPU));
  if (device.nbytes() > 0) std::memcpy(host.data_ptr(), device.const_data_ptr(), device.nbytes());
  return host;
}

void wait_for_stream() {
  std::promise<void> reached;
  FakeCuda::stream_of(0).enqueue([&] { reached.set_value(); });
  reached.get_future().wait();
}

struct BusyStream::State {
  std::promise<void> released;
  bool is_released = false;
};

BusyStream::BusyStream() : state_(std::make_shared<State>()) {
  FakeCuda::stream_of(0).enqueue([state = state_] { state->released.get_future().wait(); });
}

BusyStream::~BusyStream() {
  release();
}

void BusyStream::release() {
  if (!state_->is_released) state_->released.set_value();
  state_->is_released = true;
}

}  // namespace athanor::tests
