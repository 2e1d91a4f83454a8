#include "model/collectives.h"

#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/exp.h>

#include "core/error.h"
#include "kernels/ops.h"
#include "model/autograd.h"
#include "model/functions.h"

namespace athanor::model {
namespace {

using parallel::Communicator;

// Fresh memory like x, with so many rows.
at::Tensor with_rows(const at::Tensor& x, int64_t num_rows) {
  std::vector<int64_t> shape = x.sizes().vec();
  shape.front() = num_rows;
  return at::empty(shape, x.options().requires_grad(false));
}

at::Tensor all_rows(const at::Tensor& x_t, Communicator& comm) {
  if (comm.size() == 1) return x_t.detach();
  const at::Tensor mine = x_t.detach().contiguous();
  at::Tensor all = with_rows(mine, mine.size(0) * comm.size());
  comm.all_gather(all, mine).wait();
  return all;
}

at::Tensor own_rows(const at::Tensor& x_T, Communicator& comm) {
  const int64_t count = x_T.size(0) / comm.size();
  return x_T.narrow(0, comm.rank() * count, count);
}

int64_t rows_per_rank(const at::Tensor& x_T, const Communicator& comm) {
  ATHANOR_CHECK(x_T.size(0) % comm.size() == 0, "{} tokens cannot be divided among {} ranks of axis {}",
                x_T.size(0), comm.size(), comm.axis());
  return x_T.size(0) / comm.size();
}

// Rows of the sum over ranks: everybody sends each rank its rows, and adds up what arrives.
at::Tensor sum_of_own_rows(const at::Tensor& term_T, Communicator& comm) {
  if (comm.size() == 1) return term_T.detach();
  const at::Tensor term = term_T.detach().contiguous();
  const int64_t count = rows_per_rank(term, comm);
  std::vector<at::Tensor> leaving, arriving;
  for (int r = 0; r < comm.size(); ++r) {
    leaving.push_back(term.narrow(0, r * count, count));
    arriving.push_back(r == comm.rank() ? leaving.back() : at::empty_like(leaving.back()));
  }
  comm.exchange(arriving, leaving).wait();
  at::Tensor sum = with_rows(term, count);
  for (at::Tensor& part : arriving) part = part.view({-1});
  kernels::ordered_sum(sum.view({-1}), arriving);
  return sum;
}

// The rows of a table of which every rank holds equally many.
kernels::VocabularyRows rows_of(const Parameter& table, const Communicator& comm) {
  const int64_t count = table.value.size(0);
  return {.first = comm.rank() * count, .size = comm.size() * count};
}

// Replaces the states of this rank's part of the vocabulary by those of all parts, in rank order.
void combine_states(const at::Tensor& states_N3, Communicator& comm) {
  const int64_t count = states_N3.size(0);
  const at::Tensor all_RN3 = all_rows(states_N3, comm).view({comm.size(), count, 3});
  const at::Tensor largest_RN = all_RN3.select(2, 0), largest_N = largest_RN.amax(0);
  const at::Tensor sums_RN = all_RN3.select(2, 1) * at::exp(largest_RN - largest_N);
  at::Tensor sum_N = sums_RN.select(0, 0).clone();
  for (int r = 1; r < comm.size(); ++r) sum_N.add_(sums_RN.select(0, r));
  states_N3.select(1, 0).copy_(largest_N);
  states_N3.select(1, 1).copy_(sum_N);
  states_N3.select(1, 2).copy_(all_RN3.select(2, 2).amax(0));
}

}  // namespace

at::Tensor gather_tokens(const at::Tensor& x_t, Communicator& tensor) {
  if (tensor.size() == 1) return x_t;
  at::Tensor x_T = all_rows(x_t, tensor);
  record({x_T}, {x_t},
         [&tensor](const Tensors& gradients) -> Tensors { return {sum_of_own_rows(gradients[0], tensor)}; });
  return x_T;
}

at::Tensor gather_replicated(const at::Tensor& x_t, Communicator& tensor) {
  if (tensor.size() == 1) return x_t;
  at::Tensor x_T = all_rows(x_t, tensor);
  record({x_T}, {x_t},
         [&tensor](const Tensors& gradients) -> Tensors { return {own_rows(gradients[0], tensor)}; });
  return x_T;
}

at::Tensor scatter_sum_tokens(const at::Tensor& term_TD, Communicator& tensor) {
  if (tensor.size() == 1) return term_TD;
  at::Tensor sum_tD = sum_of_own_rows(term_TD, tensor);
  record({sum_tD}, {term_TD},
         [&tensor](const Tensors& gradients) -> Tensors { return {all_rows(gradients[0], tensor)}; });
  return sum_tD;
}

at::Tensor column_parallel_linear(const at::Tensor& x_tK, Parameter& weight, Parameter* bias,
                                  Communicator& tensor) {
  Recall recall;
  if (tensor.size() > 1) recall = [x_tK = x_tK.detach(), &tensor] { return all_rows(x_tK, tensor); };
  return linear(gather_tokens(x_tK, tensor), weight, bias, std::move(recall));
}

at::Tensor row_parallel_linear(const at::Tensor& x_TK, Parameter& weight, Parameter* bias,
                               Communicator& tensor) {
  // Every rank's product is a term of the sum: the bias is in one of them.
  return scatter_sum_tokens(linear(x_TK, weight, tensor.rank() == 0 ? bias : nullptr), tensor);
}

at::Tensor vocabulary_parallel_embedding(const at::Tensor& anchor, const at::Tensor& ids_T, Parameter& table,
                                         Communicator& tensor) {
  return scatter_sum_tokens(embedding(anchor, ids_T, table, rows_of(table, tensor)), tensor);
}

at::Tensor vocabulary_parallel_loss(const at::Tensor& x_tD, Parameter& weight, const at::Tensor& labels_T,
                                    double scale, const at::Tensor& token_loss_T, Communicator& tensor) {
  kernels::VocabularyPart part{rows_of(weight, tensor), nullptr};
  if (tensor.size() > 1)
    part.combine = [&tensor](const at::Tensor& states_N3) { combine_states(states_N3, tensor); };
  return vocabulary_loss(gather_tokens(x_tD, tensor), weight, labels_T, scale, token_loss_T, part);
}

}  // namespace athanor::model
