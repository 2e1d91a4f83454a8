// One NCCL communicator with a stream of its own: what is enqueued here runs in order, beside the compute
// stream.
//
// A call begins when the work that was on the caller's stream at the time of the call is done, and its result
// is ordered before the caller's stream by `Pending::wait`, all without the host waiting. The deadline of a
// call starts when it could begin: its inputs are ready and the call before it is done.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include "parallel/nccl_job.h"

namespace athanor::parallel {

/// One call: where it stands on the device. Written before it is enqueued, then only asked.
struct DeviceCall {
  explicit DeviceCall(const BoardCall& made) : call(made) {}
  BoardCall call;
  uint64_t board_id = 0;
  c10::Event inputs_ready{at::kCUDA}, finished{at::kCUDA};
  std::atomic<bool> is_enqueued = false;  ///< `finished` may be asked
};

class NcclQueue final : public Watched {
 public:
  using Work = std::function<void(NcclHandle& nccl, void* stream)>;

  /// `job` outlives it: whoever keeps a queue beside the job keeps the job too.
  NcclQueue(NcclJob& job, DeviceGroup group);
  /// Starts joining the communicator that `id` names.
  void join(const NcclId& id, int size, int rank);
  bool is_joined();
  void wait_until_joined();

  /// A call whose inputs are what the current stream has been given so far, published on the board.
  std::shared_ptr<DeviceCall> make_call(const BoardCall& call) const;
  /// Enqueues it; returns when the library has taken it, at the latest after a deadline (CommError). One
  /// thread at a time.
  void enqueue(const std::shared_ptr<DeviceCall>& call, const Work& work);
  /// The same in two steps, without waiting: `finish` is tried until it is true.
  void begin(const std::shared_ptr<DeviceCall>& call, const Work& work);
  bool try_finish(const std::shared_ptr<DeviceCall>& call);
  /// Waits on the host until every call has run; the watchdog ends it after a deadline.
  void wait_until_idle();
  /// Keeps `flat` until the job ends, when the library takes the hint.
  void register_memory(const at::Tensor& flat);

  const DeviceGroup& group() const { return group_; }
  NcclJob& job() const { return job_; }
  c10::Stream stream() const { return stream_; }
  /// The sentence about a call that nothing has happened to for `idle_s`.
  std::string late(const BoardCall& call, double idle_s) const;

  std::string look() override;
  bool is_idle() override;
  void abort() noexcept override;
  void close(double patience_s) override;

 private:
  using Clock = std::chrono::steady_clock;
  void settle(const std::string& doing, const BoardCall* call);
  void finish(const std::shared_ptr<DeviceCall>& call);
  void drop_completed();
  std::optional<BoardCall> overdue(double& idle_s);
  NcclHandle* handle();

  NcclJob& job_;
  DeviceGroup group_;
  c10::Stream stream_;
  std::atomic<bool> is_joined_ = false;
  std::mutex mutex_;                    // of all below
  std::unique_ptr<NcclHandle> handle_;  // null until `join`, then the same for good
  std::deque<std::shared_ptr<DeviceCall>> in_flight_;
  std::optional<Clock::time_point> front_began_;  // when the oldest call could begin
  std::vector<at::Tensor> registered_;
};

/// What a caller gets: keeps the tensors until the current stream is ordered behind the call.
class DeviceOperation final : public Pending::Operation {
 public:
  /// `enqueued` blocks (within the deadline) until the call has been enqueued.
  DeviceOperation(std::shared_ptr<NcclQueue> queue, std::shared_ptr<DeviceCall> call,
                  std::vector<at::Tensor> tensors, std::function<void()> enqueued = {});
  ~DeviceOperation() override;
  void wait() override;
  bool done() override;

 private:
  std::shared_ptr<NcclJob> job_;
  std::shared_ptr<NcclQueue> queue_;
  std::shared_ptr<DeviceCall> call_;
  std::vector<at::Tensor> tensors_;
  std::function<void()> enqueued_;
};

}  // namespace athanor::parallel
