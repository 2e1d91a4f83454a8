// One set of argument checks for every communicator, so that a call that one backend refuses is refused by
// all. A failure is an InternalError naming the axis, the verb, what was expected and what came.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "parallel/communicator.h"

namespace athanor::parallel {

void check_all_gather(const Communicator& comm, const at::Tensor& out, const at::Tensor& in);
void check_exchange(const Communicator& comm, const std::vector<at::Tensor>& out_pieces,
                    const std::vector<at::Tensor>& in_pieces);
void check_all_to_all(const Communicator& comm, const at::Tensor& out, const at::Tensor& in,
                      const std::vector<int64_t>& out_splits, const std::vector<int64_t>& in_splits);
void check_all_reduce(const Communicator& comm, const at::Tensor& data, ReduceOp op);
void check_broadcast(const Communicator& comm, const at::Tensor& data, int root);
/// `peer` is another rank of the axis; `tag` lies in [0, kMaxMessageTag].
void check_message(const Communicator& comm, const at::Tensor& data, int peer, int tag);

/// The largest tag that every MPI library accepts.
constexpr int kMaxMessageTag = 32767;

}  // namespace athanor::parallel
