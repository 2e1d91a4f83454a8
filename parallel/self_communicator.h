// The communicator of an axis of degree 1: checks its arguments like every other, moves what must be moved to
// itself, and is complete at once. Any device.
#pragma once

#include <string>

#include "parallel/communicator.h"

namespace athanor::parallel {

class SelfCommunicator final : public Communicator {
 public:
  explicit SelfCommunicator(std::string axis) : axis_(std::move(axis)) {}
  int rank() const override { return 0; }
  int size() const override { return 1; }
  const std::string& axis() const override { return axis_; }

  Pending all_gather(const at::Tensor& out, const at::Tensor& in) override;
  Pending exchange(const std::vector<at::Tensor>& out_pieces,
                   const std::vector<at::Tensor>& in_pieces) override;
  Pending all_reduce(const at::Tensor& data, ReduceOp op) override;
  Pending broadcast(const at::Tensor& data, int root) override;
  /// There is nobody to send to: InternalError.
  Pending send(const at::Tensor& data, int to, int tag) override;
  Pending recv(const at::Tensor& data, int from, int tag) override;
  void barrier() override {}

 private:
  std::string axis_;
};

}  // namespace athanor::parallel
