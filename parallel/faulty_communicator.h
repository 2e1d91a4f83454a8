// A communicator that misbehaves on request, for tests: it is late, leaves a call out, fails, or damages a
// result.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "parallel/communicator.h"
#include "parallel/verb.h"

namespace athanor::parallel {

struct Fault {
  enum class Kind {
    kDelay,    ///< sleeps `delay_s` before the call
    kSkip,     ///< never makes the call; reports it as complete
    kThrow,    ///< CommError instead of the call
    kCorrupt,  ///< makes the call, then flips the lowest bit of the first byte it gave (of what it sends, for
               ///< send)
  };
  Kind kind = Kind::kDelay;
  int64_t call = 0;  ///< which call, of any verb, counted from 0
  double delay_s = 0;
};

class FaultyCommunicator final : public Communicator {
 public:
  /// `inner` outlives this.
  FaultyCommunicator(Communicator& inner, std::vector<Fault> faults)
      : inner_(inner), faults_(std::move(faults)) {}
  int64_t num_calls() const { return num_calls_; }

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  const std::string& axis() const override { return inner_.axis(); }
  Pending all_gather(const at::Tensor& out, const at::Tensor& in) override;
  Pending exchange(const std::vector<at::Tensor>& out_pieces,
                   const std::vector<at::Tensor>& in_pieces) override;
  Pending all_reduce(const at::Tensor& data, ReduceOp op) override;
  Pending broadcast(const at::Tensor& data, int root) override;
  Pending send(const at::Tensor& data, int to, int tag) override;
  Pending recv(const at::Tensor& data, int from, int tag) override;
  void barrier() override;
  void register_memory(const at::Tensor& flat) override { inner_.register_memory(flat); }

 private:
  struct Verdict {
    bool skip = false, corrupt = false;
  };
  Verdict next_call(Verb verb);
  template <typename Call>
  Pending run(Verb verb, const std::vector<at::Tensor>& results, Call call);

  Communicator& inner_;
  std::vector<Fault> faults_;
  int64_t num_calls_ = 0;
};

}  // namespace athanor::parallel
