#include "parallel/recording_communicator.h"

namespace athanor::parallel {
namespace {

int64_t bytes_of_others(const std::vector<at::Tensor>& pieces, int own) {
  int64_t num_bytes = 0;
  for (size_t r = 0; r < pieces.size(); ++r)
    if (static_cast<int>(r) != own) num_bytes += static_cast<int64_t>(pieces[r].nbytes());
  return num_bytes;
}

}  // namespace

void RecordingCommunicator::record(Verb verb, int64_t sent_bytes, int64_t received_bytes) {
  Traffic& traffic = traffic_[static_cast<size_t>(verb)];
  traffic.num_calls += 1;
  traffic.sent_bytes += sent_bytes;
  traffic.received_bytes += received_bytes;
}

Traffic RecordingCommunicator::total() const {
  Traffic sum;
  for (const Traffic& traffic : traffic_) {
    sum.num_calls += traffic.num_calls;
    sum.sent_bytes += traffic.sent_bytes;
    sum.received_bytes += traffic.received_bytes;
  }
  return sum;
}

// Each call is recorded after the inner one took it, so that a refused call does not count.

Pending RecordingCommunicator::all_gather(const at::Tensor& out, const at::Tensor& in) {
  Pending pending = inner_.all_gather(out, in);
  const int64_t others = size() - 1, num_bytes = in.nbytes();
  record(Verb::kAllGather, others * num_bytes, others * num_bytes);
  return pending;
}

Pending RecordingCommunicator::exchange(const std::vector<at::Tensor>& out_pieces,
                                        const std::vector<at::Tensor>& in_pieces) {
  Pending pending = inner_.exchange(out_pieces, in_pieces);
  record(Verb::kAllToAll, bytes_of_others(in_pieces, rank()), bytes_of_others(out_pieces, rank()));
  return pending;
}

Pending RecordingCommunicator::all_reduce(const at::Tensor& data, ReduceOp op) {
  Pending pending = inner_.all_reduce(data, op);
  const int64_t num_bytes = size() > 1 ? data.nbytes() : 0;
  record(Verb::kAllReduce, num_bytes, num_bytes);
  return pending;
}

Pending RecordingCommunicator::broadcast(const at::Tensor& data, int root) {
  Pending pending = inner_.broadcast(data, root);
  const bool is_root = rank() == root;
  const int64_t num_bytes = data.nbytes();
  record(Verb::kBroadcast, is_root ? (size() - 1) * num_bytes : 0, is_root ? 0 : num_bytes);
  return pending;
}

Pending RecordingCommunicator::send(const at::Tensor& data, int to, int tag) {
  Pending pending = inner_.send(data, to, tag);
  record(Verb::kSend, data.nbytes(), 0);
  return pending;
}

Pending RecordingCommunicator::recv(const at::Tensor& data, int from, int tag) {
  Pending pending = inner_.recv(data, from, tag);
  record(Verb::kRecv, 0, data.nbytes());
  return pending;
}

void RecordingCommunicator::barrier() {
  inner_.barrier();
  record(Verb::kBarrier, 0, 0);
}

}  // namespace athanor::parallel
