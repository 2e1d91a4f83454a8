// Messages from one rank of an axis to another, over a communicator of the two alone and a stream of its own.
//
// The library matches messages by order only, and a message occupies its stream until the peer takes it. So
// each direction between two ranks has its own channel: messages of one channel are taken in the order they
// were sent, and no channel waits for another. A channel is made by the first message; the peer may make its
// end later, so whatever was sent until then is kept and enqueued by whoever comes by: a later call, a wait,
// or the watchdog.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include <ATen/core/Tensor.h>

#include "parallel/nccl_queue.h"

namespace athanor::parallel {

/// The host communicator over which the ranks of an axis find each other; nobody else uses it.
struct DeviceSetup {
  std::unique_ptr<Communicator> host;
  std::mutex mutex;  ///< a communicator takes one thread at a time
};

class NcclChannel final : public Watched, public std::enable_shared_from_this<NcclChannel> {
 public:
  NcclChannel(NcclJob& job, DeviceGroup group, std::shared_ptr<DeviceSetup> setup, int peer, bool sends);
  Pending post(const BoardCall& call, const at::Tensor& data);

  std::string look() override;
  bool is_idle() override;
  void abort() noexcept override;
  void close(double patience_s) override;

 private:
  enum class State { kExchangingId, kJoining, kOpen };
  struct Message {
    std::shared_ptr<DeviceCall> call;
    at::Tensor data;
    bool has_begun = false;
  };
  void pump();
  void advance();
  bool advance_front();
  void wait_until_enqueued(const DeviceCall& call);

  std::shared_ptr<DeviceSetup> setup_;
  const int peer_;
  const bool sends_;
  std::mutex mutex_;  // of all below
  State state_ = State::kExchangingId;
  std::shared_ptr<NcclId> id_;
  Pending id_transfer_;
  std::shared_ptr<NcclQueue> queue_;
  std::deque<Message> waiting_;
};

}  // namespace athanor::parallel
