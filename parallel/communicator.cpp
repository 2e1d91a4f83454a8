#include "parallel/communicator.h"

#include "parallel/argument_checks.h"

namespace athanor::parallel {
namespace {

std::vector<at::Tensor> split_rows(const at::Tensor& tensor, const std::vector<int64_t>& splits) {
  std::vector<at::Tensor> pieces;
  pieces.reserve(splits.size());
  int64_t row = 0;
  for (const int64_t num_rows : splits) {
    pieces.push_back(tensor.narrow(0, row, num_rows));
    row += num_rows;
  }
  return pieces;
}

}  // namespace

Pending Communicator::all_to_all(const at::Tensor& out, const at::Tensor& in,
                                 const std::vector<int64_t>& out_splits,
                                 const std::vector<int64_t>& in_splits) {
  check_all_to_all(*this, out, in, out_splits, in_splits);
  return exchange(split_rows(out, out_splits), split_rows(in, in_splits));
}

}  // namespace athanor::parallel
