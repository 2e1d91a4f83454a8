#include "parallel/self_communicator.h"

#include "parallel/argument_checks.h"

namespace athanor::parallel {
namespace {

void copy_unless_same(const at::Tensor& out, const at::Tensor& in) {
  if (out.const_data_ptr() != in.const_data_ptr()) out.view({-1}).copy_(in.view({-1}));
}

}  // namespace

Pending SelfCommunicator::all_gather(const at::Tensor& out, const at::Tensor& in) {
  check_all_gather(*this, out, in);
  copy_unless_same(out, in);
  return {};
}

Pending SelfCommunicator::exchange(const std::vector<at::Tensor>& out_pieces,
                                   const std::vector<at::Tensor>& in_pieces) {
  check_exchange(*this, out_pieces, in_pieces);
  copy_unless_same(out_pieces[0], in_pieces[0]);
  return {};
}

Pending SelfCommunicator::all_reduce(const at::Tensor& data, ReduceOp op) {
  check_all_reduce(*this, data, op);
  return {};
}

Pending SelfCommunicator::broadcast(const at::Tensor& data, int root) {
  check_broadcast(*this, data, root);
  return {};
}

Pending SelfCommunicator::send(const at::Tensor& data, int to, int tag) {
  check_message(*this, data, to, tag);
  return {};
}

Pending SelfCommunicator::recv(const at::Tensor& data, int from, int tag) {
  check_message(*this, data, from, tag);
  return {};
}

}  // namespace athanor::parallel
