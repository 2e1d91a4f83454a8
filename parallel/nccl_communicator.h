// Device tensors over NCCL.
//
// Every call is asynchronous: it begins when the work given to the current stream so far is done, runs on a
// stream of the communicator's own, and `Pending::wait` orders the current stream behind it without stopping
// the host. The tensors are kept until that wait. Collectives of an axis run in the order of the calls;
// messages from one rank to another likewise, and they overtake everything else (nccl_channel.h).
//
// Unlike the MPI backend this one cannot see what the others were asked for: tags are not compared (messages
// must be received in the order they were sent), and sizes that differ between ranks end at the deadline.
// Deadlines and failures: nccl_job.h. Not inside the capture of a CUDA graph in global mode, where the
// watchdog's questions are forbidden.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "parallel/communicator.h"
#include "parallel/nccl_channel.h"

namespace athanor::parallel {

class NcclCommunicator final : public Communicator {
 public:
  /// Every rank of the group makes it together; CommError when one does not come within the deadline, or when
  /// the library cannot connect them. `setup` is a host communicator of the same group, for this alone.
  NcclCommunicator(std::shared_ptr<NcclJob> job, DeviceGroup group, std::unique_ptr<Communicator> setup);
  ~NcclCommunicator() override;

  int rank() const override { return group_.rank; }
  int size() const override { return static_cast<int>(group_.world_ranks.size()); }
  const std::string& axis() const override { return group_.axis; }
  Pending all_gather(const at::Tensor& out, const at::Tensor& in) override;
  Pending exchange(const std::vector<at::Tensor>& out_pieces,
                   const std::vector<at::Tensor>& in_pieces) override;
  Pending all_reduce(const at::Tensor& data, ReduceOp op) override;
  Pending broadcast(const at::Tensor& data, int root) override;
  Pending send(const at::Tensor& data, int to, int tag) override;
  Pending recv(const at::Tensor& data, int from, int tag) override;
  /// Waits, on the host, until this rank's calls are done and every other rank has come here.
  void barrier() override;
  void register_memory(const at::Tensor& flat) override;

 private:
  BoardCall next_call(Verb verb, int64_t num_bytes = 0, int detail = 0);
  Pending run(const BoardCall& call, std::vector<at::Tensor> tensors, const NcclQueue::Work& work);
  NcclChannel& channel(int peer, bool sends);
  void check_here(const at::Tensor& tensor) const;

  std::shared_ptr<NcclJob> job_;
  DeviceGroup group_;
  std::shared_ptr<DeviceSetup> setup_;
  std::shared_ptr<NcclQueue> collectives_;
  std::map<std::pair<int, bool>, std::shared_ptr<NcclChannel>> channels_;
  uint64_t num_collectives_ = 0, num_messages_ = 0;
};

}  // namespace athanor::parallel
