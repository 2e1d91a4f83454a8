// What tensor parallelism with sequence parallelism adds to the blocks: differentiable collectives over the
// tensor axis, and the layers of which every rank holds a share.
//
// Between blocks a rank holds the t = T / degree consecutive tokens of the micro batch that are its own
// (shape suffix t; T is all of them). Rows and columns of weights are cut among the ranks, so a layer that is
// cut by rows needs all tokens and one that is cut by columns leaves a sum over ranks: column-parallel and
// row-parallel linear layers in the terms of Megatron-LM (arXiv 2205.05198, section 4).
//
// Sums over ranks have one order (the binary tree of kernels::ordered_sum over the rank, in fp32) and are
// rounded once. With one rank everything here returns its input or is the plain operation, bit for bit. Every
// rank of the axis makes the same calls in the same order, backward too.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/parameter.h"
#include "parallel/communicator.h"

namespace athanor::model {

/// [t, ...] of every rank, in rank order: [T, ...]. Backward sums over the ranks, which have used all tokens
/// in different ways.
at::Tensor gather_tokens(const at::Tensor& x_t, parallel::Communicator& tensor);

/// The same for ranks that all compute the same from it: backward keeps the gradient of its own tokens.
at::Tensor gather_replicated(const at::Tensor& x_t, parallel::Communicator& tensor);

/// [T, D], of which every rank holds one term -> [t, D], the sum, of its own tokens. Backward gathers.
at::Tensor scatter_sum_tokens(const at::Tensor& term_TD, parallel::Communicator& tensor);

/// linear(gather_tokens(x), weight, bias) for a weight that is cut by rows. Keeps its own tokens only: they
/// are gathered once more for the gradient of the weight.
at::Tensor column_parallel_linear(const at::Tensor& x_tK, Parameter& weight, Parameter* bias,
                                  parallel::Communicator& tensor);

/// x [T, K], this rank's columns, times a weight that is cut by columns alike -> [t, N] of its own tokens.
/// The bias is not cut.
at::Tensor row_parallel_linear(const at::Tensor& x_TK, Parameter& weight, Parameter* bias,
                               parallel::Communicator& tensor);

/// ids [T] of the whole micro batch -> [t, D]; the table is cut by rows. `anchor` as for `embedding`.
at::Tensor vocabulary_parallel_embedding(const at::Tensor& anchor, const at::Tensor& ids_T, Parameter& table,
                                         parallel::Communicator& tensor);

/// `vocabulary_loss` of x [t, D] and the labels [T] of the whole micro batch; the vocabulary matrix is cut by
/// rows. The logits stay where they are: three numbers per token travel. token_loss [T] gets the same bits on
/// every rank.
at::Tensor vocabulary_parallel_loss(const at::Tensor& x_tD, Parameter& weight, const at::Tensor& labels_T,
                                    double scale, const at::Tensor& token_loss_T,
                                    parallel::Communicator& tensor);

}  // namespace athanor::model
