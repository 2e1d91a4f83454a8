// Tensor parallelism inside experts: the ranks of the tensor axis hold a slice of every expert's width each,
// so every one of them works on the rows that all of them received.
//
// A rank gathers the others' rows (as many as each has), computes what its slice makes of all, and gets back
// the sum, over the slices, of its own rows. Sums over ranks have the order of kernels::ordered_sum, in fp32;
// what travels is in the compute dtype. The backward of each direction is the other. One rank alone copies
// nothing.
#pragma once

#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "model/row_groups.h"
#include "parallel/communicator.h"

namespace athanor::model {

class SharedRows {
 public:
  /// `own`: this rank's R rows; all ranks have equally many groups and sources. Collective over `comm`, which
  /// outlives this.
  SharedRows(const RowGroups& own, const c10::Device& device, parallel::Communicator& comm);

  /// The rows of all ranks, A of them; a source of rank t is source * ranks + t here.
  const RowGroups& groups() const { return groups_; }
  /// [R, D] -> [A, D]. Collective.
  at::Tensor gather(const at::Tensor& x_RD) const;
  /// [A, D], what this rank contributes to every row -> [R, D], the sums of its own. Collective.
  at::Tensor sum(const at::Tensor& y_AD) const;

 private:
  parallel::Communicator& comm_;
  std::vector<int64_t> splits_;  ///< rows of every rank
  RowOrder order_;
  RowGroups groups_;
};

/// Differentiable SharedRows::gather and sum.
at::Tensor gather_rows(const at::Tensor& x_RD, const std::shared_ptr<const SharedRows>& rows);
at::Tensor sum_rows(const at::Tensor& y_AD, const std::shared_ptr<const SharedRows>& rows);

}  // namespace athanor::model
