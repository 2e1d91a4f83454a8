#include "parallel/faulty_communicator.h"

#include <chrono>
#include <thread>

#include "core/error.h"

namespace athanor::parallel {
namespace {

void flip_first_bit(const std::vector<at::Tensor>& tensors) {
  for (const at::Tensor& tensor : tensors) {
    if (tensor.nbytes() == 0) continue;
    *static_cast<unsigned char*>(tensor.data_ptr()) ^= 1;
    return;
  }
}

class CorruptedOperation final : public Pending::Operation {
 public:
  CorruptedOperation(Pending inner, std::vector<at::Tensor> results)
      : inner_(std::move(inner)), results_(std::move(results)) {}
  void wait() override {
    inner_.wait();
    flip_first_bit(results_);
  }
  bool done() override { return inner_.done(); }

 private:
  Pending inner_;
  std::vector<at::Tensor> results_;
};

}  // namespace

FaultyCommunicator::Verdict FaultyCommunicator::next_call(Verb verb) {
  const int64_t call = num_calls_++;
  Verdict verdict;
  for (const Fault& fault : faults_) {
    if (fault.call != call) continue;
    if (fault.kind == Fault::Kind::kDelay)
      std::this_thread::sleep_for(std::chrono::duration<double>(fault.delay_s));
    if (fault.kind == Fault::Kind::kThrow)
      throw core::CommError("{} on axis {}: injected fault at call {}", name_of(verb), axis(), call);
    verdict.skip |= fault.kind == Fault::Kind::kSkip;
    verdict.corrupt |= fault.kind == Fault::Kind::kCorrupt;
  }
  return verdict;
}

template <typename Call>
Pending FaultyCommunicator::run(Verb verb, const std::vector<at::Tensor>& results, Call call) {
  const Verdict verdict = next_call(verb);
  if (verdict.skip) return {};
  if (!verdict.corrupt) return call();
  return Pending(std::make_unique<CorruptedOperation>(call(), results));
}

Pending FaultyCommunicator::all_gather(const at::Tensor& out, const at::Tensor& in) {
  return run(Verb::kAllGather, {out}, [&] { return inner_.all_gather(out, in); });
}

Pending FaultyCommunicator::exchange(const std::vector<at::Tensor>& out_pieces,
                                     const std::vector<at::Tensor>& in_pieces) {
  return run(Verb::kAllToAll, out_pieces, [&] { return inner_.exchange(out_pieces, in_pieces); });
}

Pending FaultyCommunicator::all_reduce(const at::Tensor& data, ReduceOp op) {
  return run(Verb::kAllReduce, {data}, [&] { return inner_.all_reduce(data, op); });
}

Pending FaultyCommunicator::broadcast(const at::Tensor& data, int root) {
  return run(Verb::kBroadcast, {data}, [&] { return inner_.broadcast(data, root); });
}

Pending FaultyCommunicator::send(const at::Tensor& data, int to, int tag) {
  const Verdict verdict = next_call(Verb::kSend);
  if (verdict.skip) return {};
  if (!verdict.corrupt) return inner_.send(data, to, tag);
  const at::Tensor damaged = data.clone();
  flip_first_bit({damaged});
  return inner_.send(damaged, to, tag);
}

Pending FaultyCommunicator::recv(const at::Tensor& data, int from, int tag) {
  return run(Verb::kRecv, {data}, [&] { return inner_.recv(data, from, tag); });
}

void FaultyCommunicator::barrier() {
  if (!next_call(Verb::kBarrier).skip) inner_.barrier();
}

}  // namespace athanor::parallel
