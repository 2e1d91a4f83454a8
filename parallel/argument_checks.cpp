#include "parallel/argument_checks.h"

#include <numeric>
#include <string>

#include <fmt/core.h>
#include <fmt/ranges.h>

#include "core/error.h"

namespace athanor::parallel {
namespace {

std::string describe(const at::Tensor& tensor) {
  return fmt::format("{} [{}]", c10::toString(tensor.scalar_type()), fmt::join(tensor.sizes(), ", "));
}

void check_tensor(const Communicator& comm, const char* verb, const char* name, const at::Tensor& tensor) {
  ATHANOR_CHECK(tensor.defined(), "{} on axis {}: `{}` is undefined", verb, comm.axis(), name);
  ATHANOR_CHECK(tensor.is_contiguous(), "{} on axis {}: `{}` {} is not contiguous", verb, comm.axis(), name,
                describe(tensor));
}

void check_alike(const Communicator& comm, const char* verb, const at::Tensor& out, const at::Tensor& in) {
  check_tensor(comm, verb, "out", out);
  check_tensor(comm, verb, "in", in);
  ATHANOR_CHECK(out.scalar_type() == in.scalar_type() && out.device() == in.device(),
                "{} on axis {}: `out` is {} on {}, `in` is {} on {}", verb, comm.axis(), describe(out),
                out.device().str(), describe(in), in.device().str());
}

bool overlap(const at::Tensor& a, const at::Tensor& b) {
  const auto* a_begin = static_cast<const char*>(a.const_data_ptr());
  const auto* b_begin = static_cast<const char*>(b.const_data_ptr());
  return a_begin < b_begin + b.nbytes() && b_begin < a_begin + a.nbytes();
}

void check_splits(const Communicator& comm, const char* name, const at::Tensor& tensor,
                  const std::vector<int64_t>& splits) {
  ATHANOR_CHECK(splits.size() == static_cast<size_t>(comm.size()),
                "all_to_all on axis {}: {} {} for {} ranks", comm.axis(), splits.size(), name, comm.size());
  for (const int64_t rows : splits)
    ATHANOR_CHECK(rows >= 0, "all_to_all on axis {}: {} [{}] holds a negative count", comm.axis(), name,
                  fmt::join(splits, ", "));
  const int64_t num_rows = std::accumulate(splits.begin(), splits.end(), int64_t{0});
  ATHANOR_CHECK(tensor.dim() >= 1 && num_rows == tensor.size(0),
                "all_to_all on axis {}: {} add up to {} for {}", comm.axis(), name, num_rows,
                describe(tensor));
}

bool can_reduce(at::ScalarType dtype, ReduceOp op) {
  const bool is_integer = dtype == at::kInt || dtype == at::kLong || dtype == at::kByte;
  const bool is_float = dtype == at::kFloat || dtype == at::kDouble;
  return is_integer || (is_float && op != ReduceOp::kSum);
}

}  // namespace

void check_all_gather(const Communicator& comm, const at::Tensor& out, const at::Tensor& in) {
  check_alike(comm, "all_gather", out, in);
  ATHANOR_CHECK(out.numel() == in.numel() * comm.size(),
                "all_gather on axis {}: out {} for {} ranks of in {}", comm.axis(), describe(out),
                comm.size(), describe(in));
  const auto* own_place = static_cast<const char*>(out.const_data_ptr()) + comm.rank() * in.nbytes();
  ATHANOR_CHECK(in.const_data_ptr() == own_place || !overlap(out, in),
                "all_gather on axis {}: `in` lies inside `out` but not in the place of rank {}", comm.axis(),
                comm.rank());
}

void check_exchange(const Communicator& comm, const std::vector<at::Tensor>& out_pieces,
                    const std::vector<at::Tensor>& in_pieces) {
  const size_t size = comm.size();
  ATHANOR_CHECK(out_pieces.size() == size && in_pieces.size() == size,
                "exchange on axis {}: {} pieces out and {} in for {} ranks", comm.axis(), out_pieces.size(),
                in_pieces.size(), size);
  for (size_t r = 0; r < size; ++r) check_alike(comm, "exchange", out_pieces[r], in_pieces[r]);
  for (size_t r = 1; r < size; ++r) check_alike(comm, "exchange", out_pieces[r], in_pieces[0]);
  const int own = comm.rank();
  ATHANOR_CHECK(out_pieces[own].numel() == in_pieces[own].numel(),
                "exchange on axis {}: this rank's own piece is {} to send and {} to receive", comm.axis(),
                describe(in_pieces[own]), describe(out_pieces[own]));
}

void check_all_to_all(const Communicator& comm, const at::Tensor& out, const at::Tensor& in,
                      const std::vector<int64_t>& out_splits, const std::vector<int64_t>& in_splits) {
  check_alike(comm, "all_to_all", out, in);
  check_splits(comm, "out_splits", out, out_splits);
  check_splits(comm, "in_splits", in, in_splits);
  ATHANOR_CHECK(out.sizes().slice(1) == in.sizes().slice(1),
                "all_to_all on axis {}: rows of out {} and in {} differ", comm.axis(), describe(out),
                describe(in));
  ATHANOR_CHECK(!overlap(out, in), "all_to_all on axis {}: out {} and in {} overlap in memory", comm.axis(),
                describe(out), describe(in));
}

void check_all_reduce(const Communicator& comm, const at::Tensor& data, ReduceOp op) {
  check_tensor(comm, "all_reduce", "data", data);
  ATHANOR_CHECK(can_reduce(data.scalar_type(), op),
                "all_reduce on axis {}: {} cannot be reduced this way; floating-point sums go through "
                "ordered_reduction.h, 16-bit floats are widened first",
                comm.axis(), describe(data));
}

void check_broadcast(const Communicator& comm, const at::Tensor& data, int root) {
  check_tensor(comm, "broadcast", "data", data);
  ATHANOR_CHECK(root >= 0 && root < comm.size(), "broadcast on axis {}: root {} of {} ranks", comm.axis(),
                root, comm.size());
}

void check_message(const Communicator& comm, const at::Tensor& data, int peer, int tag) {
  check_tensor(comm, "message", "data", data);
  ATHANOR_CHECK(peer >= 0 && peer < comm.size() && peer != comm.rank(),
                "message on axis {}: peer {} for rank {} of {}", comm.axis(), peer, comm.rank(), comm.size());
  ATHANOR_CHECK(tag >= 0 && tag <= kMaxMessageTag, "message on axis {}: tag {} is outside 0..{}", comm.axis(),
                tag, kMaxMessageTag);
}

}  // namespace athanor::parallel
