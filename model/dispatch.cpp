// Shape suffixes: P rows of this rank by expert, R rows that arrived here, D hidden, E all experts, G experts
// here, S source ranks.
#include "model/dispatch.h"

#include <numeric>

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/tensor.h>

#include "core/error.h"
#include "kernels/fp8.h"
#include "model/autograd.h"

namespace athanor::model {
namespace {

std::vector<int64_t> differences(const std::vector<int64_t>& offsets) {
  std::vector<int64_t> counts;
  for (size_t i = 0; i + 1 < offsets.size(); ++i) counts.push_back(offsets[i + 1] - offsets[i]);
  return counts;
}

int64_t total(const std::vector<int64_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

// Sums of runs of `length` counts.
std::vector<int64_t> sums_of_runs(const std::vector<int64_t>& counts, int64_t length) {
  std::vector<int64_t> sums(counts.size() / static_cast<size_t>(length));
  for (size_t i = 0; i < counts.size(); ++i) sums[i / static_cast<size_t>(length)] += counts[i];
  return sums;
}

// Every rank sends every other the row counts of the experts there: [E] here -> [S, G].
std::vector<int64_t> exchange_counts(const std::vector<int64_t>& leaving_E, const c10::Device& device,
                                     parallel::Communicator& comm) {
  const int64_t num_here = static_cast<int64_t>(leaving_E.size()) / comm.size();
  const std::vector<int64_t> splits(static_cast<size_t>(comm.size()), num_here);
  const at::Tensor leaving = at::tensor(leaving_E, at::kLong).to(device), arriving = at::empty_like(leaving);
  comm.all_to_all(arriving, leaving, splits, splits).wait();
  const at::Tensor counts = arriving.to(at::kCPU);
  return {counts.const_data_ptr<int64_t>(), counts.const_data_ptr<int64_t>() + counts.numel()};
}

// Of rows that do not travel in fp8.
at::ScalarType wire_dtype(Payload payload, at::ScalarType compute) {
  switch (payload) {
    case Payload::kCompute:
      return compute;
    case Payload::kBf16:
    case Payload::kFp8:
      return at::kBFloat16;
    case Payload::kFp32:
      return at::kFloat;
  }
  throw core::InternalError("payload {}", static_cast<int>(payload));
}

}  // namespace

Dispatch::Dispatch(const std::vector<int64_t>& offsets, const c10::Device& device,
                   parallel::Communicator& comm, Payload payload)
    : comm_(comm), payload_(payload) {
  const int64_t num_experts = static_cast<int64_t>(offsets.size()) - 1, num_sources = comm.size();
  ATHANOR_CHECK(num_experts % num_sources == 0, "{} experts cannot be shared out over {} ranks of axis {}",
                num_experts, num_sources, comm.axis());
  const std::vector<int64_t> leaving_E = differences(offsets);
  const std::vector<int64_t> arriving_SG = exchange_counts(leaving_E, device, comm);
  home_splits_ = sums_of_runs(leaving_E, num_experts / num_sources);
  here_splits_ = sums_of_runs(arriving_SG, num_experts / num_sources);
  order_ = RowOrder(arriving_SG, num_sources, device);
  groups_ = RowGroups(order_.first_rows(), num_sources);
}

at::Tensor Dispatch::to_experts(const at::Tensor& x_PD, RowKind kind) const {
  if (payload_ == Payload::kFp8) return order_.by_group(to_experts_in_fp8(x_PD, kind));
  const at::Tensor leaving = x_PD.to(wire_dtype(payload_, x_PD.scalar_type()));
  const at::Tensor arrived = move(leaving, home_splits_, here_splits_);
  return order_.by_group(arrived.to(x_PD.scalar_type()));
}

at::Tensor Dispatch::to_experts_in_fp8(const at::Tensor& x_PD, RowKind kind) const {
  const at::Tensor codes_PD = at::empty(x_PD.sizes(), x_PD.options().dtype(at::kFloat8_e4m3fn));
  const at::Tensor scales_PC =
      at::empty({x_PD.size(0), kernels::fp8_tiles(x_PD.size(1))}, x_PD.options().dtype(at::kFloat));
  kernels::quantise_rows(
      codes_PD, scales_PC, x_PD,
      {.floor = kind == RowKind::kGradients ? kernels::kFp8GradientFloor : kernels::kFp8Floor});
  const at::Tensor codes_RD = move(codes_PD.view(at::kByte), home_splits_, here_splits_);
  const at::Tensor scales_RC = move(scales_PC, home_splits_, here_splits_);
  const at::Tensor x_RD = at::empty(codes_RD.sizes(), x_PD.options());
  kernels::dequantise_rows(x_RD, codes_RD.view(at::kFloat8_e4m3fn), scales_RC);
  return x_RD;
}

at::Tensor Dispatch::to_home(const at::Tensor& y_RD) const {
  const at::Tensor leaving = order_.by_sender(y_RD).to(wire_dtype(payload_, y_RD.scalar_type()));
  return move(leaving, here_splits_, home_splits_).to(y_RD.scalar_type());
}

at::Tensor Dispatch::move(const at::Tensor& rows, const std::vector<int64_t>& in_splits,
                          const std::vector<int64_t>& out_splits) const {
  if (comm_.size() == 1) return rows;  // nothing moves, so nothing is copied
  const at::Tensor arriving = at::empty({total(out_splits), rows.size(1)}, rows.options());
  comm_.all_to_all(arriving, rows, out_splits, in_splits).wait();
  return arriving;
}

at::Tensor send_to_experts(const at::Tensor& x_PD, const std::shared_ptr<const Dispatch>& dispatch) {
  at::Tensor x_RD = dispatch->to_experts(x_PD.detach());
  record({x_RD}, {x_PD},
         [dispatch](const Tensors& gradients) -> Tensors { return {dispatch->to_home(gradients[0])}; });
  return x_RD;
}

at::Tensor send_home(const at::Tensor& y_RD, const std::shared_ptr<const Dispatch>& dispatch) {
  at::Tensor y_PD = dispatch->to_home(y_RD.detach());
  record({y_PD}, {y_RD}, [dispatch](const Tensors& gradients) -> Tensors {
    return {dispatch->to_experts(gradients[0], RowKind::kGradients)};
  });
  return y_PD;
}

}  // namespace athanor::model
