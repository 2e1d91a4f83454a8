#include "parallel/nccl_channel.h"

#include <ATen/ops/from_blob.h>
#include <fmt/core.h>

#include "core/error.h"
#include "parallel/wait_loop.h"

namespace athanor::parallel {
namespace {

constexpr int kIdTag = 0;
constexpr int kSender = 0, kReceiver = 1;  // ranks of the two within the channel

}  // namespace

NcclChannel::NcclChannel(NcclJob& job, DeviceGroup group, std::shared_ptr<DeviceSetup> setup, int peer,
                         bool sends)
    : setup_(std::move(setup)),
      peer_(peer),
      sends_(sends),
      id_(std::make_shared<NcclId>()),
      queue_(std::make_shared<NcclQueue>(job, std::move(group))) {
  if (sends_) *id_ = job.library().make_id();
  const at::Tensor bytes = at::from_blob(
      id_->data(), {static_cast<int64_t>(id_->size())}, [kept = id_](void*) {}, at::kByte);
  {
    const std::lock_guard lock(setup_->mutex);
    id_transfer_ =
        sends_ ? setup_->host->send(bytes, peer_, kIdTag) : setup_->host->recv(bytes, peer_, kIdTag);
  }
  if (sends_) queue_->join(*id_, 2, kSender);
}

Pending NcclChannel::post(const BoardCall& call, const at::Tensor& data) {
  auto made = queue_->make_call(call);
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back({made, data});
  }
  pump();
  return Pending(std::make_unique<DeviceOperation>(
      queue_, made, std::vector<at::Tensor>{data},
      [self = shared_from_this(), made] { self->wait_until_enqueued(*made); }));
}

void NcclChannel::wait_until_enqueued(const DeviceCall& call) {
  WaitLoop loop(queue_->group().timeout_s);
  while (!call.is_enqueued) {
    queue_->job().check();
    pump();
    if (call.is_enqueued || loop.pause()) continue;
    queue_->job().fail(queue_->late(call.call, loop.idle_seconds()));
  }
}

void NcclChannel::pump() {
  const std::lock_guard lock(mutex_);
  advance();
}

// As far as it goes without waiting for anybody.
void NcclChannel::advance() {
  if (state_ == State::kExchangingId) {
    const std::lock_guard lock(setup_->mutex);
    if (!id_transfer_.done()) return;
    id_transfer_.wait();
    if (!sends_) queue_->join(*id_, 2, kReceiver);
    state_ = State::kJoining;
  }
  if (state_ == State::kJoining) {
    if (!queue_->is_joined()) return;
    state_ = State::kOpen;
  }
  while (!waiting_.empty() && advance_front()) waiting_.pop_front();
}

bool NcclChannel::advance_front() {
  Message& message = waiting_.front();
  if (!message.has_begun) {
    message.has_begun = true;
    queue_->begin(message.call, [&](NcclHandle& nccl, void* stream) {
      nccl.begin_group();
      if (sends_)
        nccl.send(message.data.const_data_ptr(), message.data.nbytes(), kReceiver, stream);
      else
        nccl.receive(message.data.data_ptr(), message.data.nbytes(), kSender, stream);
      nccl.end_group();
    });
  }
  return queue_->try_finish(message.call);
}

std::string NcclChannel::look() {
  try {
    const std::lock_guard lock(mutex_);
    advance();
  } catch (const std::exception& error) {
    return fmt::format("messages on axis {}: {}", queue_->group().axis, error.what());
  }
  const std::lock_guard lock(mutex_);
  return state_ == State::kOpen ? queue_->look() : "";
}

bool NcclChannel::is_idle() {
  const std::lock_guard lock(mutex_);
  return waiting_.empty() && queue_->is_idle();
}

void NcclChannel::abort() noexcept {
  queue_->abort();
}

void NcclChannel::close(double patience_s) {
  queue_->close(patience_s);
}

}  // namespace athanor::parallel
