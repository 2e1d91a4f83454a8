#include "parallel/device_communicator.h"

#include "core/error.h"
#include "parallel/nccl_job.h"

namespace athanor::parallel {

DeviceCommunicator::DeviceCommunicator(std::unique_ptr<Communicator> host, MakeDeviceSide make_device_side,
                                       std::shared_ptr<NcclJob> job)
    : host_(std::move(host)), make_device_side_(std::move(make_device_side)), job_(std::move(job)) {}

Communicator& DeviceCommunicator::device_side() {
  if (!device_) device_ = make_device_side_();
  return *device_;
}

Communicator& DeviceCommunicator::side_of(const at::Tensor& tensor) {
  ATHANOR_CHECK(tensor.defined(), "an undefined tensor on axis {}", axis());
  if (job_) job_->check();
  return tensor.device().is_cpu() ? *host_ : device_side();
}

Pending DeviceCommunicator::all_gather(const at::Tensor& out, const at::Tensor& in) {
  return side_of(in).all_gather(out, in);
}

Pending DeviceCommunicator::exchange(const std::vector<at::Tensor>& out_pieces,
                                     const std::vector<at::Tensor>& in_pieces) {
  ATHANOR_CHECK(!in_pieces.empty(), "exchange on axis {} of no pieces", axis());
  return side_of(in_pieces[0]).exchange(out_pieces, in_pieces);
}

Pending DeviceCommunicator::all_reduce(const at::Tensor& data, ReduceOp op) {
  return side_of(data).all_reduce(data, op);
}

Pending DeviceCommunicator::broadcast(const at::Tensor& data, int root) {
  return side_of(data).broadcast(data, root);
}

Pending DeviceCommunicator::send(const at::Tensor& data, int to, int tag) {
  return side_of(data).send(data, to, tag);
}

Pending DeviceCommunicator::recv(const at::Tensor& data, int from, int tag) {
  return side_of(data).recv(data, from, tag);
}

void DeviceCommunicator::barrier() {
  if (job_) job_->check();
  if (device_)
    device_->barrier();
  else
    host_->barrier();
}

void DeviceCommunicator::register_memory(const at::Tensor& flat) {
  if (!flat.device().is_cpu()) device_side().register_memory(flat);
}

}  // namespace athanor::parallel
