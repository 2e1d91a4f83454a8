#include "parallel/nccl_queue.h"

#include <thread>

#include <c10/core/impl/VirtualGuardImpl.h>
#include <fmt/core.h>

#include "core/error.h"
#include "parallel/late_report.h"
#include "parallel/wait_loop.h"

namespace athanor::parallel {
namespace {

constexpr std::chrono::microseconds kIdlePoll{50};

c10::impl::VirtualGuardImpl guard() {
  return c10::impl::VirtualGuardImpl(at::kCUDA);
}

// The priority lets a transfer start between the kernels of the compute stream.
c10::Stream stream_of_its_own(c10::Device device) {
  return guard().getStreamFromGlobalPool(device, /*isHighPriority=*/true);
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

NcclQueue::NcclQueue(NcclJob& job, DeviceGroup group)
    : job_(job), group_(std::move(group)), stream_(stream_of_its_own(job.device())) {}

void NcclQueue::join(const NcclId& id, int size, int rank) {
  try {
    auto joined = job_.library().join(id, size, rank, group_.axis);
    const std::lock_guard lock(mutex_);
    handle_ = std::move(joined);
  } catch (const core::CommError& error) {
    throw core::CommError("axis {} cannot be joined over NCCL {} by {}: {}", group_.axis,
                          job_.library().version(), name_of_rank(group_.rank, group_.world_ranks),
                          error.what());
  }
}

bool NcclQueue::is_joined() {
  NcclHandle* nccl = handle();
  if (!is_joined_ && nccl) is_joined_ = nccl->is_settled();
  return is_joined_;
}

NcclHandle* NcclQueue::handle() {
  const std::lock_guard lock(mutex_);
  return handle_.get();
}

void NcclQueue::wait_until_joined() {
  settle(fmt::format("joining axis {} over NCCL {}: {} of {}", group_.axis, job_.library().version(),
                     name_of_rank(group_.rank, group_.world_ranks), group_.world_ranks.size()),
         nullptr);
  is_joined_ = true;
}

std::shared_ptr<DeviceCall> NcclQueue::make_call(const BoardCall& call) const {
  auto made = std::make_shared<DeviceCall>(call);
  if (group_.board) made->board_id = group_.board->begin(call);
  made->inputs_ready.record(guard().getStream(job_.device()));
  return made;
}

void NcclQueue::enqueue(const std::shared_ptr<DeviceCall>& call, const Work& work) {
  begin(call, work);
  settle(group_.describe(call->call), &call->call);
  finish(call);
}

void NcclQueue::begin(const std::shared_ptr<DeviceCall>& call, const Work& work) {
  job_.check();
  call->inputs_ready.block(stream_);
  try {
    work(*handle(), stream_.native_handle());
  } catch (const core::CommError& error) {
    job_.fail(fmt::format("{}: {}", group_.describe(call->call), error.what()));
    job_.check();
  }
}

bool NcclQueue::try_finish(const std::shared_ptr<DeviceCall>& call) {
  try {
    if (!handle()->is_settled()) return false;
  } catch (const core::CommError& error) {
    job_.fail(fmt::format("{}: {}", group_.describe(call->call), error.what()));
    job_.check();
  }
  finish(call);
  return true;
}

void NcclQueue::finish(const std::shared_ptr<DeviceCall>& call) {
  call->finished.record(stream_);
  call->is_enqueued = true;
  const std::lock_guard lock(mutex_);
  in_flight_.push_back(call);
}

// A library call may still be connecting to its peers when it returns. Nothing else may be called until it
// has ended; while it lasts the deadline is ours to keep.
void NcclQueue::settle(const std::string& doing, const BoardCall* call) {
  WaitLoop loop(group_.timeout_s);
  try {
    while (!handle()->is_settled()) {
      job_.check();
      if (loop.pause()) continue;
      job_.fail(
          call ? late(*call, loop.idle_seconds())
               : fmt::format("{}: not every rank has joined after {:.1f} s", doing, loop.idle_seconds()));
    }
  } catch (const core::CommError& error) {
    job_.fail(fmt::format("{}: {}", doing, error.what()));
  }
  job_.check();
}

void NcclQueue::wait_until_idle() {
  while (!is_idle()) {
    job_.check();
    std::this_thread::sleep_for(kIdlePoll);
  }
  job_.check();
}

void NcclQueue::register_memory(const at::Tensor& flat) {
  if (!handle()->register_memory(flat.data_ptr(), flat.nbytes())) return;
  const std::lock_guard lock(mutex_);
  registered_.push_back(flat);
}

std::string NcclQueue::late(const BoardCall& call, double idle_s) const {
  return late_report({group_.world_ranks, *group_.axis_names, group_.rank, group_.board}, {call, idle_s, {}});
}

// ---- what the watchdog asks ------------------------------------------------------------------------------

std::string NcclQueue::look() {
  double idle_s = 0;
  std::optional<BoardCall> late_call;
  try {
    if (is_joined()) handle()->is_settled();  // throws the library's error
    late_call = overdue(idle_s);
  } catch (const std::exception& error) {
    return fmt::format("axis {}, {}: {}", group_.axis, name_of_rank(group_.rank, group_.world_ranks),
                       error.what());
  }
  return late_call ? late(*late_call, idle_s) : "";
}

std::optional<BoardCall> NcclQueue::overdue(double& idle_s) {
  const std::lock_guard lock(mutex_);
  drop_completed();
  if (in_flight_.empty() || !in_flight_.front()->inputs_ready.query()) return std::nullopt;
  if (!front_began_) {
    front_began_ = Clock::now();
    if (group_.board) group_.board->waiting(in_flight_.front()->board_id);
  }
  idle_s = seconds_since(*front_began_);
  if (idle_s <= group_.timeout_s) return std::nullopt;
  return in_flight_.front()->call;
}

// With `mutex_` held.
void NcclQueue::drop_completed() {
  while (!in_flight_.empty() && in_flight_.front()->finished.query()) {
    if (group_.board) group_.board->done(in_flight_.front()->board_id);
    in_flight_.pop_front();
    front_began_.reset();
  }
}

bool NcclQueue::is_idle() {
  const std::lock_guard lock(mutex_);
  drop_completed();
  return in_flight_.empty();
}

void NcclQueue::abort() noexcept {
  if (NcclHandle* nccl = handle()) nccl->abort();
}

void NcclQueue::close(double patience_s) {
  if (NcclHandle* nccl = handle()) nccl->close(patience_s);
}

// ---- what a caller waits for -----------------------------------------------------------------------------

DeviceOperation::DeviceOperation(std::shared_ptr<NcclQueue> queue, std::shared_ptr<DeviceCall> call,
                                 std::vector<at::Tensor> tensors, std::function<void()> enqueued)
    : job_(queue->job().shared_from_this()),
      queue_(std::move(queue)),
      call_(std::move(call)),
      tensors_(std::move(tensors)),
      enqueued_(std::move(enqueued)) {}

// Nobody waited: the memory may still be in use, so the allocator is told not to give it away before the
// stream of this call has come past.
DeviceOperation::~DeviceOperation() {
  for (const at::Tensor& tensor : tensors_)
    guard().recordDataPtrOnStream(tensor.storage().data_ptr(), queue_->stream());
}

void DeviceOperation::wait() {
  if (enqueued_) enqueued_();
  job_->check();
  call_->finished.block(guard().getStream(job_->device()));
  tensors_.clear();
}

bool DeviceOperation::done() {
  job_->check();
  return call_->is_enqueued && call_->finished.query();
}

}  // namespace athanor::parallel
