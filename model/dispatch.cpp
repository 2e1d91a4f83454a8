// Shape suffixes: P rows of this rank by expert, R rows that arrived here, D hidden, E all experts, G experts
// here, S source ranks.
#include "model/dispatch.h"

#include <numeric>

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/tensor.h>

#include "core/error.h"
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

at::Tensor reordered(const at::Tensor& rows, const std::optional<kernels::Permutation>& order) {
  if (!order) return rows;
  at::Tensor result = at::empty_like(rows);
  kernels::permute(result, rows, *order);
  return result;
}

at::ScalarType wire_dtype(Payload payload, at::ScalarType compute) {
  switch (payload) {
    case Payload::kCompute:
      return compute;
    case Payload::kBf16:
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
  place_rows(arriving_SG, device);
}

void Dispatch::place_rows(const std::vector<int64_t>& arriving_SG, const c10::Device& device) {
  const int64_t num_sources = comm_.size();
  const int64_t num_groups = static_cast<int64_t>(arriving_SG.size()) / num_sources;
  std::vector<int64_t> arrival(arriving_SG.size());  // first row of (source, expert) as rows arrive
  std::exclusive_scan(arriving_SG.begin(), arriving_SG.end(), arrival.begin(), int64_t{0});

  std::vector<int64_t> first_rows = {0};
  std::vector<int32_t> source_row, placed_row(static_cast<size_t>(total(arriving_SG)));
  for (int64_t g = 0; g < num_groups; ++g)
    for (int64_t s = 0; s < num_sources; ++s) {
      const auto run = static_cast<size_t>(s * num_groups + g);
      for (int64_t i = 0; i < arriving_SG[run]; ++i) {
        placed_row[static_cast<size_t>(arrival[run] + i)] = static_cast<int32_t>(source_row.size());
        source_row.push_back(static_cast<int32_t>(arrival[run] + i));
      }
      first_rows.push_back(static_cast<int64_t>(source_row.size()));
    }
  groups_ = RowGroups(std::move(first_rows), num_sources);
  if (num_sources == 1 || num_groups == 1) return;
  const at::Tensor to_expert = at::tensor(source_row, at::kInt).to(device);
  const at::Tensor to_source = at::tensor(placed_row, at::kInt).to(device);
  by_expert_ = {.row_of_slot = to_source, .token_of_row = to_expert, .offsets = groups_.offsets};
  by_source_ = {.row_of_slot = to_expert, .token_of_row = to_source, .offsets = {}};
}

at::Tensor Dispatch::to_experts(const at::Tensor& x_PD) const {
  return reordered(move(x_PD, home_splits_, here_splits_), by_expert_);
}

at::Tensor Dispatch::to_home(const at::Tensor& y_RD) const {
  return move(reordered(y_RD, by_source_), here_splits_, home_splits_);
}

at::Tensor Dispatch::move(const at::Tensor& rows, const std::vector<int64_t>& in_splits,
                          const std::vector<int64_t>& out_splits) const {
  const at::Tensor leaving = rows.to(wire_dtype(payload_, rows.scalar_type()));
  if (comm_.size() == 1) return leaving.to(rows.scalar_type());  // nothing moves, so nothing is copied
  const at::Tensor arriving = at::empty({total(out_splits), rows.size(1)}, leaving.options());
  comm_.all_to_all(arriving, leaving, out_splits, in_splits).wait();
  return arriving.to(rows.scalar_type());
}

at::Tensor send_to_experts(const at::Tensor& x_PD, const std::shared_ptr<const Dispatch>& dispatch) {
  at::Tensor x_RD = dispatch->to_experts(x_PD.detach());
  record({x_RD}, {x_PD},
         [dispatch](const Tensors& gradients) -> Tensors { return {dispatch->to_home(gradients[0])}; });
  return x_RD;
}

at::Tensor send_home(const at::Tensor& y_RD, const std::shared_ptr<const Dispatch>& dispatch) {
  at::Tensor y_PD = dispatch->to_home(y_RD.detach());
  record({y_PD}, {y_RD},
         [dispatch](const Tensors& gradients) -> Tensors { return {dispatch->to_experts(gradients[0])}; });
  return y_PD;
}

}  // namespace athanor::model
