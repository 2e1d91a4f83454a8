#include "parallel/mpi_communicator.h"

#include <algorithm>
#include <cstring>
#include <set>

#include <fmt/core.h>
#include <mpi.h>

#include "core/error.h"
#include "parallel/argument_checks.h"
#include "parallel/late_report.h"
#include "parallel/mpi_support.h"
#include "parallel/wait_loop.h"

namespace athanor::parallel {
namespace {

// Messages are cut so that each counts as progress for the deadline and fits into the cache on its way
// through shared memory. Short ones are also fast: 32 MiB in segments of 256 KiB take no longer than
// MPI_Alltoall, of 2 MiB twice that.
constexpr int64_t kSegmentBytes = int64_t{256} << 10;
// So many of the oldest open requests are looked at in one poll; the library drives all of them.
constexpr size_t kPollWindow = 64;
constexpr int64_t kLibraryCallBytes = int64_t{64} << 20;
// How often a rank that waits looks whether the others make the same call.
constexpr double kLookSeconds = 0.05;
constexpr uint64_t kNumTags = kMaxMessageTag + 1;

char* bytes_of(const at::Tensor& tensor) {
  return static_cast<char*>(tensor.data_ptr());
}

MPI_Datatype mpi_type(at::ScalarType dtype) {
  switch (dtype) {
    case at::kInt:
      return MPI_INT32_T;
    case at::kLong:
      return MPI_INT64_T;
    case at::kByte:
      return MPI_UINT8_T;
    case at::kFloat:
      return MPI_FLOAT;
    case at::kDouble:
      return MPI_DOUBLE;
    default:
      throw core::InternalError("all_reduce of {}", c10::toString(dtype));
  }
}

MPI_Op mpi_op(ReduceOp op) {
  return op == ReduceOp::kSum ? MPI_SUM : op == ReduceOp::kMax ? MPI_MAX : MPI_MIN;
}

void check_on_host(const at::Tensor& tensor, const std::string& axis) {
  ATHANOR_CHECK(tensor.device().is_cpu(), "axis {}: MPI moves host tensors, this one is on {}", axis,
                tensor.device().str());
}

int64_t total_bytes(const std::vector<at::Tensor>& pieces) {
  int64_t sum = 0;
  for (const at::Tensor& piece : pieces) sum += static_cast<int64_t>(piece.nbytes());
  return sum;
}

// These go through the library's own collectives, the others are messages of ours.
bool uses_library(Verb verb) {
  return verb == Verb::kAllReduce || verb == Verb::kBroadcast || verb == Verb::kBarrier;
}

void copy_own_piece(const at::Tensor& out, const at::Tensor& in) {
  if (in.nbytes() > 0 && bytes_of(out) != bytes_of(in)) std::memcpy(bytes_of(out), bytes_of(in), in.nbytes());
}

}  // namespace

struct MpiCommunicator::Shared {
  explicit Shared(MpiGroup made) : group(std::move(made)) {
    collectives = MPI_Comm_f2c(group.collective_handle);
    messages = MPI_Comm_f2c(group.message_handle);
  }

  std::string name_rank(int r) const { return name_of_rank(r, group.world_ranks); }
  StuckGroup seen_from_here() const {
    return {group.world_ranks, *group.axis_names, group.rank, group.board};
  }

  [[noreturn]] void fail(const std::string& message) {
    broken = message;
    throw core::CommError(message);
  }

  MpiGroup group;
  MPI_Comm collectives, messages;
  // Throws when a rank made this call otherwise.
  void check_agreement(const BoardCall& call) {
    if (const auto message = disagreement(seen_from_here(), call)) fail(*message);
  }

  uint64_t num_collectives = 0, num_messages = 0;
  std::string broken;  // the first failure; empty: none yet
};

// One call in flight: its open MPI requests and what each of them moves.
class MpiCommunicator::Operation final : public Pending::Operation {
 public:
  Operation(std::shared_ptr<Shared> shared, const BoardCall& call) : shared_(std::move(shared)), call_(call) {
    if (shared_->group.board) board_id_ = shared_->group.board->begin(call_);
  }
  ~Operation() override;

  void keep(const at::Tensor& tensor) { tensors_.push_back(tensor); }
  void receive(const at::Tensor& into, int from);
  void send(const at::Tensor& data, int to);
  /// Starts what was added by `receive` and `send`.
  void start_transfers(MPI_Comm comm, int tag);
  MPI_Request* add_library_call();

  int tag() const { return static_cast<int>(call_.sequence % kNumTags); }
  void wait() override;
  bool done() override;

 private:
  struct Transfer {
    char* data;
    int64_t num_bytes;
    int peer;
    bool receives;
  };
  struct Part {
    int peer;  // -1: a call of the library's own, which concerns everybody
    bool receives;
    int num_bytes;
  };
  void start_part(const Transfer& transfer, int64_t begin, MPI_Comm comm, int tag);
  std::string name() const { return describe_call(call_, *shared_->group.axis_names); }
  void complete();
  bool progress();
  int test(size_t first, size_t last);
  void check_part(const Part& part, const MPI_Status& status, int code) const;
  [[noreturn]] void expire(double idle_s) const;
  std::set<int> ranks_owing_data() const;

  std::shared_ptr<Shared> shared_;
  BoardCall call_;
  uint64_t board_id_ = 0;
  bool is_complete_ = false;
  std::vector<Transfer> transfers_;
  std::vector<MPI_Request> requests_;
  std::vector<Part> parts_;  // of requests_
  size_t first_open_ = 0;    // all requests before it are complete
  std::vector<int> indices_;
  std::vector<MPI_Status> statuses_;
  size_t num_open_ = 0;
  std::vector<at::Tensor> tensors_;
};

// ---- the calls -------------------------------------------------------------------------------------------

MpiCommunicator::MpiCommunicator(MpiGroup group) : shared_(std::make_shared<Shared>(std::move(group))) {}
MpiCommunicator::~MpiCommunicator() = default;
int MpiCommunicator::rank() const {
  return shared_->group.rank;
}
int MpiCommunicator::size() const {
  return static_cast<int>(shared_->group.world_ranks.size());
}
const std::string& MpiCommunicator::axis() const {
  return shared_->group.axis;
}

// Where a rank that came before made another call, this one is not made at all: the library trusts that all
// ranks make the same call, and where it copies from one process straight into another, as Open MPI does by
// default, a message longer than what awaits it overwrites what lies behind.
std::unique_ptr<MpiCommunicator::Operation> MpiCommunicator::begin(Verb verb, int64_t num_bytes, int detail) {
  Shared& shared = *shared_;
  if (!shared.broken.empty())
    throw core::CommError("{} on axis {} after an earlier failure: {}", name_of(verb), axis(), shared.broken);
  const uint64_t sequence = is_collective(verb) ? ++shared.num_collectives : ++shared.num_messages;
  const BoardCall call{shared.group.axis_idx, verb, sequence, num_bytes, detail};
  auto operation = std::make_unique<Operation>(shared_, call);
  shared.check_agreement(call);
  return operation;
}

// Ranks start with different peers, so that not everybody sends to the same one at once.

Pending MpiCommunicator::all_gather(const at::Tensor& out, const at::Tensor& in) {
  check_all_gather(*this, out, in);
  check_on_host(in, axis());
  auto operation = begin(Verb::kAllGather, in.nbytes());
  const at::Tensor places = out.view({-1}), own = in.view({-1});
  const auto place_of = [&](int r) { return places.narrow(0, r * own.numel(), own.numel()); };
  for (int step = 1; step < size(); ++step) {
    const int from = (rank() + size() - step) % size();
    operation->receive(place_of(from), from);
    operation->send(own, (rank() + step) % size());
  }
  operation->start_transfers(shared_->collectives, operation->tag());
  copy_own_piece(place_of(rank()), own);
  return Pending(std::move(operation));
}

Pending MpiCommunicator::exchange(const std::vector<at::Tensor>& out_pieces,
                                  const std::vector<at::Tensor>& in_pieces) {
  check_exchange(*this, out_pieces, in_pieces);
  check_on_host(in_pieces[0], axis());
  auto operation = begin(Verb::kAllToAll, total_bytes(in_pieces));
  for (int step = 1; step < size(); ++step) {
    const int from = (rank() + size() - step) % size(), to = (rank() + step) % size();
    operation->receive(out_pieces[from], from);
    operation->send(in_pieces[to], to);
  }
  operation->start_transfers(shared_->collectives, operation->tag());
  copy_own_piece(out_pieces[rank()], in_pieces[rank()]);
  return Pending(std::move(operation));
}

Pending MpiCommunicator::all_reduce(const at::Tensor& data, ReduceOp op) {
  check_all_reduce(*this, data, op);
  check_on_host(data, axis());
  auto operation = begin(Verb::kAllReduce, data.nbytes(), static_cast<int>(op));
  operation->keep(data);
  const int64_t num_bytes = data.nbytes(), item_bytes = data.element_size();
  for (int64_t at = 0; at < num_bytes; at += kLibraryCallBytes) {
    const int count = static_cast<int>(std::min(kLibraryCallBytes, num_bytes - at) / item_bytes);
    check_mpi(MPI_Iallreduce(MPI_IN_PLACE, bytes_of(data) + at, count, mpi_type(data.scalar_type()),
                             mpi_op(op), shared_->collectives, operation->add_library_call()),
              "MPI_Iallreduce");
  }
  return Pending(std::move(operation));
}

Pending MpiCommunicator::broadcast(const at::Tensor& data, int root) {
  check_broadcast(*this, data, root);
  check_on_host(data, axis());
  auto operation = begin(Verb::kBroadcast, data.nbytes(), root);
  operation->keep(data);
  const int64_t num_bytes = data.nbytes();
  for (int64_t at = 0; at < num_bytes; at += kLibraryCallBytes) {
    const int count = static_cast<int>(std::min(kLibraryCallBytes, num_bytes - at));
    check_mpi(MPI_Ibcast(bytes_of(data) + at, count, MPI_BYTE, root, shared_->collectives,
                         operation->add_library_call()),
              "MPI_Ibcast");
  }
  return Pending(std::move(operation));
}

Pending MpiCommunicator::send(const at::Tensor& data, int to, int tag) {
  check_message(*this, data, to, tag);
  check_on_host(data, axis());
  auto operation = begin(Verb::kSend, data.nbytes(), to);
  operation->send(data, to);
  operation->start_transfers(shared_->messages, tag);
  return Pending(std::move(operation));
}

Pending MpiCommunicator::recv(const at::Tensor& data, int from, int tag) {
  check_message(*this, data, from, tag);
  check_on_host(data, axis());
  auto operation = begin(Verb::kRecv, data.nbytes(), from);
  operation->receive(data, from);
  operation->start_transfers(shared_->messages, tag);
  return Pending(std::move(operation));
}

void MpiCommunicator::barrier() {
  auto operation = begin(Verb::kBarrier);
  check_mpi(MPI_Ibarrier(shared_->collectives, operation->add_library_call()), "MPI_Ibarrier");
  operation->wait();
}

// ---- one call in flight ----------------------------------------------------------------------------------

// MPI may still write into (or read from) the memory of a call nobody waited for, and a destructor must not
// communicate: that memory is given up rather than freed.
MpiCommunicator::Operation::~Operation() {
  if (num_open_ > 0) new std::vector<at::Tensor>(std::move(tensors_));
}

void MpiCommunicator::Operation::receive(const at::Tensor& into, int from) {
  keep(into);
  transfers_.push_back({bytes_of(into), static_cast<int64_t>(into.nbytes()), from, true});
}

void MpiCommunicator::Operation::send(const at::Tensor& data, int to) {
  keep(data);
  transfers_.push_back({bytes_of(data), static_cast<int64_t>(data.nbytes()), to, false});
}

// The first segments of all transfers, then the second, and so on, so that no peer waits for another. An
// empty piece is a message too: a peer that expects another size notices.
void MpiCommunicator::Operation::start_transfers(MPI_Comm comm, int tag) {
  int64_t longest = 0;
  for (const Transfer& transfer : transfers_) longest = std::max(longest, transfer.num_bytes);
  int64_t begin = 0;
  do {
    for (const Transfer& transfer : transfers_)
      if (begin == 0 || begin < transfer.num_bytes) start_part(transfer, begin, comm, tag);
    begin += kSegmentBytes;
  } while (begin < longest);
}

void MpiCommunicator::Operation::start_part(const Transfer& transfer, int64_t begin, MPI_Comm comm, int tag) {
  const int count = static_cast<int>(std::min(kSegmentBytes, transfer.num_bytes - begin));
  char* data = transfer.data + begin;
  MPI_Request request = MPI_REQUEST_NULL;
  if (transfer.receives)
    check_mpi(MPI_Irecv(data, count, MPI_BYTE, transfer.peer, tag, comm, &request), "MPI_Irecv");
  else
    check_mpi(MPI_Isend(data, count, MPI_BYTE, transfer.peer, tag, comm, &request), "MPI_Isend");
  parts_.push_back({transfer.peer, transfer.receives, count});
  requests_.push_back(request);
  ++num_open_;
}

MPI_Request* MpiCommunicator::Operation::add_library_call() {
  parts_.push_back({-1, false, 0});
  requests_.push_back(MPI_REQUEST_NULL);
  ++num_open_;
  return &requests_.back();
}

bool MpiCommunicator::Operation::done() {
  progress();
  if (num_open_ == 0) complete();
  return num_open_ == 0;
}

void MpiCommunicator::Operation::wait() {
  ProgressBoard* board = shared_->group.board;
  if (num_open_ > 0 && board) board->waiting(board_id_);
  WaitLoop loop(shared_->group.timeout_s);
  double next_look_s = kLookSeconds;
  while (num_open_ > 0) {
    if (progress()) {
      loop.progressed();
      next_look_s = kLookSeconds;
    } else if (!loop.pause()) {
      test(0, requests_.size());  // what lies beyond the window counts in the report
      if (num_open_ > 0) expire(loop.idle_seconds());
    } else if (loop.idle_seconds() > next_look_s) {
      next_look_s += kLookSeconds;
      shared_->check_agreement(call_);
    }
  }
  complete();
}

// The library does not notice everything: a reduction of two lengths may go through, with a wrong result.
void MpiCommunicator::Operation::complete() {
  if (is_complete_) return;
  is_complete_ = true;
  if (uses_library(call_.verb)) shared_->check_agreement(call_);
  if (shared_->group.board) shared_->group.board->done(board_id_);
}

// Drives MPI; true when something was completed by it.
bool MpiCommunicator::Operation::progress() {
  if (num_open_ == 0) return false;
  while (requests_[first_open_] == MPI_REQUEST_NULL) ++first_open_;
  return test(first_open_, std::min(requests_.size(), first_open_ + kPollWindow)) > 0;
}

// Notices which of the requests [first, last) are complete; how many.
int MpiCommunicator::Operation::test(size_t first, size_t last) {
  const size_t count = last - first;
  indices_.resize(count);
  statuses_.resize(count);
  int num_completed = 0;
  const int code = MPI_Testsome(static_cast<int>(count), requests_.data() + first, &num_completed,
                                indices_.data(), statuses_.data());
  if (code != MPI_ERR_IN_STATUS) check_mpi(code, "MPI_Testsome");
  if (num_completed == MPI_UNDEFINED) num_completed = 0;
  num_open_ -= num_completed;
  for (int i = 0; i < num_completed; ++i)
    check_part(parts_[first + indices_[i]], statuses_[i],
               code == MPI_ERR_IN_STATUS ? statuses_[i].MPI_ERROR : MPI_SUCCESS);
  return num_completed;
}

void MpiCommunicator::Operation::check_part(const Part& part, const MPI_Status& status, int code) const {
  const bool from_peer = part.peer >= 0;
  const std::string own = shared_->name_rank(shared_->group.rank);
  const std::string peer = from_peer ? shared_->name_rank(part.peer) : "another rank";
  if (code != MPI_SUCCESS) {
    shared_->check_agreement(call_);  // says more than the library
    shared_->fail(
        fmt::format("{} with {}, {} bytes expected at {}: {}; do all ranks run the same configuration and "
                    "program?",
                    name(), peer, part.num_bytes, own, mpi_error_text(code)));
  }
  int num_bytes = part.num_bytes;
  if (part.receives) MPI_Get_count(&status, MPI_BYTE, &num_bytes);
  if (num_bytes != part.num_bytes)
    shared_->fail(
        fmt::format("{}: {} sent {} bytes where {} expects {}; do all ranks run the same configuration and "
                    "program?",
                    name(), peer, num_bytes, own, part.num_bytes));
}

// ---- who is late -----------------------------------------------------------------------------------------

std::set<int> MpiCommunicator::Operation::ranks_owing_data() const {
  std::set<int> owing;
  for (size_t i = 0; i < parts_.size(); ++i)
    if (parts_[i].peer >= 0 && requests_[i] != MPI_REQUEST_NULL) owing.insert(parts_[i].peer);
  return owing;
}

void MpiCommunicator::Operation::expire(double idle_s) const {
  shared_->fail(late_report(shared_->seen_from_here(), {call_, idle_s, ranks_owing_data()}));
}

}  // namespace athanor::parallel
