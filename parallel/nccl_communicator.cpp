#include "parallel/nccl_communicator.h"

#include <ATen/ops/from_blob.h>

#include "core/error.h"
#include "parallel/argument_checks.h"

namespace athanor::parallel {
namespace {

char* bytes_of(const at::Tensor& tensor) {
  return static_cast<char*>(tensor.data_ptr());
}

// Rank 0 makes the name by which the ranks find each other.
NcclId agree_on_id(const NcclLibrary& library, Communicator& host) {
  NcclId id{};
  if (host.rank() == 0) id = library.make_id();
  host.broadcast(at::from_blob(id.data(), {static_cast<int64_t>(id.size())}, at::kByte), 0).wait();
  return id;
}

}  // namespace

NcclCommunicator::NcclCommunicator(std::shared_ptr<NcclJob> job, DeviceGroup group,
                                   std::unique_ptr<Communicator> setup)
    : job_(std::move(job)),
      group_(std::move(group)),
      setup_(std::make_shared<DeviceSetup>()),
      collectives_(std::make_shared<NcclQueue>(*job_, group_)) {
  setup_->host = std::move(setup);
  job_->check();
  collectives_->join(agree_on_id(job_->library(), *setup_->host), size(), rank());
  job_->watch(collectives_, group_.timeout_s);
  collectives_->wait_until_joined();
}

// The library's communicators stay with the job, which ends them together with the other ranks.
NcclCommunicator::~NcclCommunicator() = default;

// ---- the calls -------------------------------------------------------------------------------------------

BoardCall NcclCommunicator::next_call(Verb verb, int64_t num_bytes, int detail) {
  job_->check();
  const uint64_t sequence = is_collective(verb) ? ++num_collectives_ : ++num_messages_;
  return {group_.axis_idx, verb, sequence, num_bytes, detail};
}

void NcclCommunicator::check_here(const at::Tensor& tensor) const {
  ATHANOR_CHECK(tensor.device() == job_->device(), "axis {}: NCCL moves tensors on {}, this one is on {}",
                axis(), job_->device().str(), tensor.device().str());
}

Pending NcclCommunicator::run(const BoardCall& call, std::vector<at::Tensor> tensors,
                              const NcclQueue::Work& work) {
  for (const at::Tensor& tensor : tensors) check_here(tensor);
  const auto made = collectives_->make_call(call);
  collectives_->enqueue(made, work);
  return Pending(std::make_unique<DeviceOperation>(collectives_, made, std::move(tensors)));
}

Pending NcclCommunicator::all_gather(const at::Tensor& out, const at::Tensor& in) {
  check_all_gather(*this, out, in);
  const BoardCall call = next_call(Verb::kAllGather, in.nbytes());
  return run(call, {out, in}, [&](NcclHandle& nccl, void* stream) {
    nccl.all_gather(out.data_ptr(), in.const_data_ptr(), in.nbytes(), stream);
  });
}

// Both sides of a pair know that a piece is empty, so neither makes a transfer of it.
Pending NcclCommunicator::exchange(const std::vector<at::Tensor>& out_pieces,
                                   const std::vector<at::Tensor>& in_pieces) {
  check_exchange(*this, out_pieces, in_pieces);
  std::vector<at::Tensor> tensors = out_pieces;
  tensors.insert(tensors.end(), in_pieces.begin(), in_pieces.end());
  int64_t num_bytes = 0;
  for (const at::Tensor& piece : in_pieces) num_bytes += static_cast<int64_t>(piece.nbytes());
  return run(next_call(Verb::kAllToAll, num_bytes), std::move(tensors), [&](NcclHandle& nccl, void* stream) {
    nccl.begin_group();
    for (int step = 0; step < size(); ++step) {
      const int from = (rank() + size() - step) % size(), to = (rank() + step) % size();
      const at::Tensor &arriving = out_pieces[from], &leaving = in_pieces[to];
      if (step == 0 && bytes_of(arriving) == bytes_of(leaving)) continue;
      if (leaving.nbytes() > 0) nccl.send(leaving.const_data_ptr(), leaving.nbytes(), to, stream);
      if (arriving.nbytes() > 0) nccl.receive(arriving.data_ptr(), arriving.nbytes(), from, stream);
    }
    nccl.end_group();
  });
}

Pending NcclCommunicator::all_reduce(const at::Tensor& data, ReduceOp op) {
  check_all_reduce(*this, data, op);
  const BoardCall call = next_call(Verb::kAllReduce, data.nbytes(), static_cast<int>(op));
  return run(call, {data}, [&](NcclHandle& nccl, void* stream) {
    nccl.all_reduce(data.data_ptr(), data.numel(), data.scalar_type(), op, stream);
  });
}

Pending NcclCommunicator::broadcast(const at::Tensor& data, int root) {
  check_broadcast(*this, data, root);
  const BoardCall call = next_call(Verb::kBroadcast, data.nbytes(), root);
  return run(call, {data}, [&](NcclHandle& nccl, void* stream) {
    nccl.broadcast(data.data_ptr(), data.nbytes(), root, stream);
  });
}

NcclChannel& NcclCommunicator::channel(int peer, bool sends) {
  auto& found = channels_[{peer, sends}];
  if (!found) {
    found = std::make_shared<NcclChannel>(*job_, group_, setup_, peer, sends);
    job_->watch(found, group_.timeout_s);
  }
  return *found;
}

Pending NcclCommunicator::send(const at::Tensor& data, int to, int tag) {
  check_message(*this, data, to, tag);
  check_here(data);
  return channel(to, /*sends=*/true).post(next_call(Verb::kSend, data.nbytes(), to), data);
}

Pending NcclCommunicator::recv(const at::Tensor& data, int from, int tag) {
  check_message(*this, data, from, tag);
  check_here(data);
  return channel(from, /*sends=*/false).post(next_call(Verb::kRecv, data.nbytes(), from), data);
}

void NcclCommunicator::barrier() {
  const uint64_t id = group_.board ? group_.board->begin(next_call(Verb::kBarrier)) : 0;
  collectives_->wait_until_idle();
  const std::lock_guard lock(setup_->mutex);
  if (group_.board) group_.board->waiting(id);
  setup_->host->barrier();
  if (group_.board) group_.board->done(id);
}

void NcclCommunicator::register_memory(const at::Tensor& flat) {
  check_here(flat);
  collectives_->register_memory(flat);
}

}  // namespace athanor::parallel
