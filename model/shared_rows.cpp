// R rows of this rank, A rows of all ranks of the axis, D hidden.
#include "model/shared_rows.h"

#include <numeric>

#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include "core/error.h"
#include "kernels/ops.h"
#include "model/autograd.h"

namespace athanor::model {
namespace {

// Rows of every (rank, matrix, source).
std::vector<int64_t> gather_counts(const RowGroups& own, const c10::Device& device,
                                   parallel::Communicator& comm) {
  std::vector<int64_t> counts;
  for (size_t i = 0; i + 1 < own.source_offsets.size(); ++i)
    counts.push_back(own.source_offsets[i + 1] - own.source_offsets[i]);
  const at::Tensor mine = at::tensor(counts, at::kLong).to(device);
  const at::Tensor all = at::empty({comm.size() * mine.size(0)}, mine.options());
  comm.all_gather(all, mine).wait();
  const at::Tensor gathered = all.to(at::kCPU);
  return {gathered.const_data_ptr<int64_t>(), gathered.const_data_ptr<int64_t>() + gathered.numel()};
}

}  // namespace

SharedRows::SharedRows(const RowGroups& own, const c10::Device& device, parallel::Communicator& comm)
    : comm_(comm) {
  const std::vector<int64_t> counts = gather_counts(own, device, comm);
  const auto per_rank = counts.size() / static_cast<size_t>(comm.size());
  for (auto first = counts.begin(); first != counts.end(); first += static_cast<int64_t>(per_rank))
    splits_.push_back(std::accumulate(first, first + static_cast<int64_t>(per_rank), int64_t{0}));
  order_ = RowOrder(counts, comm.size(), device);
  groups_ = RowGroups(order_.first_rows(), own.num_sources * comm.size());
}

at::Tensor SharedRows::gather(const at::Tensor& x_RD) const {
  if (comm_.size() == 1) return x_RD;  // nothing moves, so nothing is copied
  const at::Tensor arriving = at::empty({groups_.num_rows(), x_RD.size(1)}, x_RD.options());
  const std::vector<at::Tensor> pieces = arriving.split_with_sizes(splits_);
  comm_.exchange(pieces, std::vector<at::Tensor>(splits_.size(), x_RD)).wait();
  return order_.by_group(arriving);
}

at::Tensor SharedRows::sum(const at::Tensor& y_AD) const {
  if (comm_.size() == 1) return y_AD;
  const at::Tensor leaving = order_.by_sender(y_AD);
  const int64_t own_rows = splits_[static_cast<size_t>(comm_.rank())];
  const at::Tensor terms = at::empty({comm_.size(), own_rows, y_AD.size(1)}, y_AD.options());
  comm_.exchange(terms.unbind(0), leaving.split_with_sizes(splits_)).wait();
  const at::Tensor y_RD = at::empty({own_rows, y_AD.size(1)}, y_AD.options());
  kernels::ordered_sum(y_RD.view({y_RD.numel()}), terms.view({comm_.size(), y_RD.numel()}).unbind(0));
  return y_RD;
}

at::Tensor gather_rows(const at::Tensor& x_RD, const std::shared_ptr<const SharedRows>& rows) {
  at::Tensor x_AD = rows->gather(x_RD.detach());
  record({x_AD}, {x_RD}, [rows](const Tensors& gradients) -> Tensors { return {rows->sum(gradients[0])}; });
  return x_AD;
}

at::Tensor sum_rows(const at::Tensor& y_AD, const std::shared_ptr<const SharedRows>& rows) {
  at::Tensor y_RD = rows->sum(y_AD.detach());
  record({y_RD}, {y_AD},
         [rows](const Tensors& gradients) -> Tensors { return {rows->gather(gradients[0])}; });
  return y_RD;
}

}  // namespace athanor::model
