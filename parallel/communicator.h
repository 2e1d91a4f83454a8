// Communication between the ranks of one axis.
//
// A Communicator speaks the trainer's language and takes tensors, never counts. Every call is collective: all
// ranks of the axis make the same calls in the same order. Degree 1 is an object (SelfCommunicator), not an
// `if`. Backends: MPI for host tensors, NCCL for device tensors, self; decorators record and inject faults.
// Every call has a deadline: a rank that waits longer throws CommError naming the collective, its number and
// the axis.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace athanor::parallel {

/// The completion of one collective. `wait` returns when the result may be used (host tensors: is there;
/// device tensors: the current stream is ordered behind it) or throws CommError. Must be waited for before
/// destruction of the tensors involved. Default-constructed: already complete. Destructors never communicate.
class Pending {
 public:
  class Operation {
   public:
    virtual ~Operation() = default;
    virtual void wait() = 0;
    virtual bool done() = 0;
  };
  Pending() = default;
  explicit Pending(std::unique_ptr<Operation> operation) : operation_(std::move(operation)) {}
  void wait() {
    if (operation_) operation_->wait();
    operation_.reset();
  }
  bool done() { return !operation_ || operation_->done(); }

 private:
  std::unique_ptr<Operation> operation_;
};

enum class ReduceOp { kSum, kMax, kMin };

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual const std::string& axis() const = 0;  ///< "data", "expert", ...: names the group in messages

  /// out [size * n] = everyone's in [n], in rank order. out may hold `in` in its own place.
  [[nodiscard]] virtual Pending all_gather(const at::Tensor& out, const at::Tensor& in) = 0;
  /// Sends in_pieces[r] to rank r and receives out_pieces[r] from it: one tensor per rank, contiguous, all of
  /// one dtype, possibly empty. Pieces may lie anywhere (nothing is packed); this rank's own piece is copied
  /// unless it is the same memory. A piece that does not have the size the other rank sent is a CommError
  /// naming both.
  [[nodiscard]] virtual Pending exchange(const std::vector<at::Tensor>& out_pieces,
                                         const std::vector<at::Tensor>& in_pieces) = 0;
  /// `exchange` of consecutive rows: sends piece r of `in` to rank r, receives piece r of `out` from rank r.
  /// Splits count rows (dimension 0) and are this rank's own; they may be uneven and zero. Reductions are
  /// built on `exchange` (see ordered_reduction.h).
  [[nodiscard]] Pending all_to_all(const at::Tensor& out, const at::Tensor& in,
                                   const std::vector<int64_t>& out_splits,
                                   const std::vector<int64_t>& in_splits);
  /// In place. Only for integers and for kMax/kMin, where the order of operands cannot show (floating-point
  /// data must hold no NaN: which operand wins would depend on the order). int32, int64, uint8, float32,
  /// float64.
  [[nodiscard]] virtual Pending all_reduce(const at::Tensor& data, ReduceOp op) = 0;
  [[nodiscard]] virtual Pending broadcast(const at::Tensor& data, int root) = 0;
  [[nodiscard]] virtual Pending send(const at::Tensor& data, int to, int tag) = 0;
  [[nodiscard]] virtual Pending recv(const at::Tensor& data, int from, int tag) = 0;
  virtual void barrier() = 0;

  /// A hint: `flat` will be sent and received many times, so a backend that can spare itself a copy prepares
  /// for it once. Every rank calls it alike. The memory is kept until the session ends.
  virtual void register_memory(const at::Tensor& flat) { static_cast<void>(flat); }
};

}  // namespace athanor::parallel
