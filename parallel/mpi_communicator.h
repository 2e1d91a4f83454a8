// Host tensors over MPI.
//
// all_gather and exchange are made of short messages, each numbered with its collective: sizes are
// 64-bit, any dtype travels as bytes, a peer that sent another size or stands in another collective is
// noticed, and what has not arrived is known by rank. Waiting never blocks inside MPI: it polls, yields and
// sleeps (wait_loop.h), and after `timeout_s` without progress it throws CommError. After that the
// communicator is broken: every further call throws. One thread at a time. The MPI communicators behind it
// live until MPI_Finalize.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "parallel/communicator.h"
#include "parallel/progress_board.h"
#include "parallel/verb.h"

namespace athanor::parallel {

/// What the session made for one group. The handles are MPI_Comm_c2f of two communicators over the same
/// ranks: collectives and the messages of send/recv never meet.
struct MpiGroup {
  std::string axis;
  int collective_handle = 0;
  int message_handle = 0;
  std::vector<int> world_ranks;
  int rank = 0;
  int axis_idx = 0;  ///< on the progress board
  std::shared_ptr<const std::vector<std::string>>
      axis_names;  ///< of all communicators, by axis_idx: for messages
  ProgressBoard* board = nullptr;
  double timeout_s = 600;
};

class MpiCommunicator final : public Communicator {
 public:
  explicit MpiCommunicator(MpiGroup group);
  ~MpiCommunicator() override;

  int rank() const override;
  int size() const override;
  const std::string& axis() const override;
  Pending all_gather(const at::Tensor& out, const at::Tensor& in) override;
  Pending exchange(const std::vector<at::Tensor>& out_pieces,
                   const std::vector<at::Tensor>& in_pieces) override;
  Pending all_reduce(const at::Tensor& data, ReduceOp op) override;
  Pending broadcast(const at::Tensor& data, int root) override;
  Pending send(const at::Tensor& data, int to, int tag) override;
  Pending recv(const at::Tensor& data, int from, int tag) override;
  void barrier() override;

 private:
  struct Shared;  // what operations in flight need of their communicator
  class Operation;
  std::unique_ptr<Operation> begin(Verb verb, int64_t num_bytes = 0, int detail = 0);
  std::shared_ptr<Shared> shared_;
};

}  // namespace athanor::parallel
