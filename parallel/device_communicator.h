// One communicator for both sides of an axis: host tensors go over MPI, device tensors over NCCL. Callers
// need not know which is which; counters, losses and texts travel on the host beside the weights on the
// device.
//
// The two sides are ordered apart: a host call does not wait for device calls, except `barrier`, which does.
// After a failure of a device call every call throws, host calls too, so that nobody goes on with data that
// never arrived.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "parallel/communicator.h"

namespace athanor::parallel {

class NcclJob;

class DeviceCommunicator final : public Communicator {
 public:
  using MakeDeviceSide = std::function<std::unique_ptr<Communicator>()>;
  /// The device side is made by the first call that needs it, which is then collective even if it is a
  /// message: call `open` before messages. `job` may be null (nothing to fail): for tests.
  DeviceCommunicator(std::unique_ptr<Communicator> host, MakeDeviceSide make_device_side,
                     std::shared_ptr<NcclJob> job);
  /// Makes the device side now; every rank calls it.
  void open() { device_side(); }

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  const std::string& axis() const override { return host_->axis(); }
  Pending all_gather(const at::Tensor& out, const at::Tensor& in) override;
  Pending exchange(const std::vector<at::Tensor>& out_pieces,
                   const std::vector<at::Tensor>& in_pieces) override;
  Pending all_reduce(const at::Tensor& data, ReduceOp op) override;
  Pending broadcast(const at::Tensor& data, int root) override;
  Pending send(const at::Tensor& data, int to, int tag) override;
  Pending recv(const at::Tensor& data, int from, int tag) override;
  void barrier() override;
  void register_memory(const at::Tensor& flat) override;

 private:
  Communicator& device_side();
  Communicator& side_of(const at::Tensor& tensor);

  std::unique_ptr<Communicator> host_;
  MakeDeviceSide make_device_side_;
  std::shared_ptr<NcclJob> job_;
  std::unique_ptr<Communicator> device_;
};

}  // namespace athanor::parallel
