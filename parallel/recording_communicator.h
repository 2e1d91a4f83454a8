// Counts what goes through a communicator: calls and payload bytes by verb. The formulas of
// docs/parallelism.md are tested with it.
#pragma once

#include <array>
#include <cstdint>

#include "parallel/communicator.h"
#include "parallel/verb.h"

namespace athanor::parallel {

/// Payload of this rank. `sent_bytes` leave it for other ranks, `received_bytes` come from others; what a
/// rank keeps to itself counts nowhere. all_reduce counts its data once in each direction (what a library
/// moves for it is its own affair); a broadcast is sent size-1 times by its root.
struct Traffic {
  int64_t num_calls = 0;
  int64_t sent_bytes = 0;
  int64_t received_bytes = 0;
};

class RecordingCommunicator final : public Communicator {
 public:
  /// `inner` outlives this.
  explicit RecordingCommunicator(Communicator& inner) : inner_(inner) {}
  const Traffic& traffic(Verb verb) const { return traffic_[static_cast<size_t>(verb)]; }
  Traffic total() const;
  void reset() { traffic_ = {}; }

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
  void record(Verb verb, int64_t sent_bytes, int64_t received_bytes);
  Communicator& inner_;
  std::array<Traffic, kNumVerbs> traffic_{};
};

}  // namespace athanor::parallel
