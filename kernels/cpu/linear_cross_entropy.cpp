// The loss without all the logits. Without a gradient, a block of the vocabulary at a time passes all tokens.
// With one, a block of tokens at a time has all its logits: they are computed once and become their own
// gradient.
#include "kernels/cpu/linear_cross_entropy.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

#include <ATen/ops/empty.h>

#include "kernels/cpu/loss_rows.h"
#include "kernels/cpu/pieces.h"
#include "kernels/cpu/tensor_data.h"
#include "kernels/ops.h"

namespace athanor::kernels::cpu {
namespace {

// Where a row's log-sum-exp is cut: a constant, so that a token's loss has the same bits in every call.
constexpr int64_t kVocabularyBlock = 4096;
constexpr int64_t kMaxTokensPerBlock = 512, kTokenMultiple = 16;
constexpr int64_t kMaxLogitsPerBlock = int64_t{16} << 20;
constexpr int64_t kMaxPackedElements = int64_t{64} << 20;

/// What is known of a token's softmax: a row of the states that VocabularyPart::combine takes.
struct TokenState {
  float largest, sum, logit_of_label;
};
constexpr int64_t kStateSize = sizeof(TokenState) / sizeof(float);

TokenState* rows_of(const at::Tensor& states) {
  return reinterpret_cast<TokenState*>(mutable_data<float>(states));
}

TokenState state_of(const RunningLogSumExp& running, float logit_of_label) {
  return {running.largest, log_sum_exp_table().sum(running), logit_of_label};
}

// The difference first: with large logits, the logarithm would drown in `largest`.
float loss_of(const TokenState& state) {
  return (state.largest - state.logit_of_label) + std::log(state.sum);
}

void update_whole_row(RunningLogSumExp& running, const float* logits, int64_t vocabulary) {
  for (int64_t first = 0; first < vocabulary; first += kVocabularyBlock)
    log_sum_exp_table().update(running, logits + first, std::min(kVocabularyBlock, vocabulary - first));
}

/// One matrix on the right of several products: packed once while that is worth its memory.
class RightMatrix {
 public:
  RightMatrix(const at::Tensor& w, bool is_transposed, int64_t num_products)
      : w_(w), is_transposed_(is_transposed) {
    if (num_products > 1 && w.numel() <= kMaxPackedElements)
      packed_ = is_transposed ? pack_nt(w) : pack_nn(w);
  }
  void multiply(const at::Tensor& out, const at::Tensor& a) const {
    if (packed_)
      matmul(out, a, *packed_);
    else if (is_transposed_)
      matmul_nt(out, a, w_);
    else
      matmul_nn(out, a, w_);
  }

 private:
  const at::Tensor& w_;
  bool is_transposed_;
  std::optional<PackedMatrix> packed_;
};

int64_t tokens_per_block(int64_t num_tokens, int64_t columns) {
  const int64_t fitting =
      kMaxLogitsPerBlock / std::max<int64_t>(columns, 1) / kTokenMultiple * kTokenMultiple;
  return std::min(num_tokens, std::clamp(fitting, kTokenMultiple, kMaxTokensPerBlock));
}

int64_t num_blocks(int64_t count, int64_t block) {
  return (count + block - 1) / block;
}

// ---- without a gradient
// ------------------------------------------------------------------------------------------

/// What is known of the tokens after some blocks of the vocabulary.
struct TokenSums {
  std::vector<RunningLogSumExp> running;
  std::vector<float> logit_of_label;
};

void take_logits(TokenSums& sums, const at::Tensor& logits, const int64_t* labels, int64_t first_token,
                 int64_t first_label) {
  const int64_t columns = logits.size(1);
  const float* values = data<float>(logits);
  for_each_row(logits.size(0), columns, [&](int64_t row) {
    const auto token = static_cast<size_t>(first_token + row);
    log_sum_exp_table().update(sums.running[token], values + row * columns, columns);
    const int64_t label = labels[token] - first_label;
    if (label >= 0 && label < columns) sums.logit_of_label[token] = values[row * columns + label];
  });
}

// ---- with a gradient
// ---------------------------------------------------------------------------------------------

/// A block of tokens with all its logits.
template <typename T>
class TokenBlock {
 public:
  /// `dlogits` may share memory with `logits`.
  TokenBlock(const LossGradientArgs& args, int64_t first_token, const at::Tensor& logits,
             const at::Tensor& dlogits)
      : logits_(logits),
        dlogits_(dlogits),
        first_label_(args.part.rows.first),
        labels_(data<int64_t>(args.labels_T) + first_token),
        weights_(data<float>(args.token_weight_T) + first_token),
        loss_(mutable_data<float>(args.loss_T) + first_token) {}

  /// Losses; the logits become gradients.
  void run() const {
    for_each_row(logits_.size(0), logits_.size(1), [&](int64_t row) { finish(row, state(row)); });
  }
  /// The same when other logits of these tokens lie elsewhere.
  void run(const std::function<void(const at::Tensor&)>& combine) const {
    const at::Tensor states = at::empty({logits_.size(0), kStateSize}, at::kFloat);
    for_each_row(logits_.size(0), logits_.size(1), [&](int64_t row) { rows_of(states)[row] = state(row); });
    combine(states);
    for_each_row(logits_.size(0), logits_.size(1), [&](int64_t row) { finish(row, rows_of(states)[row]); });
  }

 private:
  const float* values(int64_t row) const { return data<float>(logits_) + row * logits_.size(1); }
  // The label's column, or -1.
  int64_t column_of_label(int64_t row) const {
    const int64_t column = labels_[row] - first_label_;
    return column < logits_.size(1) ? std::max<int64_t>(column, -1) : -1;
  }
  TokenState state(int64_t row) const {
    RunningLogSumExp running;
    update_whole_row(running, values(row), logits_.size(1));
    const int64_t label = column_of_label(row);
    return state_of(running, label < 0 ? -std::numeric_limits<float>::infinity() : values(row)[label]);
  }
  void finish(int64_t row, const TokenState& state) const {
    loss_[row] = loss_of(state);
    T* gradient = mutable_data<T>(dlogits_) + row * logits_.size(1);
    if (weights_[row] == 0.0f)
      std::fill_n(gradient, logits_.size(1), T{});
    else
      loss_gradient_table<T>().softmax_gradient(
          gradient, values(row), logits_.size(1),
          {column_of_label(row), state.largest, state.sum, weights_[row]});
  }

  const at::Tensor &logits_, &dlogits_;
  int64_t first_label_;
  const int64_t* labels_;
  const float* weights_;
  float* loss_;
};

}  // namespace

void linear_cross_entropy(const at::Tensor& loss_T, const at::Tensor& lse_T, const at::Tensor& x_TD,
                          const at::Tensor& w_VD, const at::Tensor& labels_T, const VocabularyPart& part) {
  const int64_t num_tokens = x_TD.size(0), vocabulary = w_VD.size(0);
  if (num_tokens == 0) return;
  const int64_t block_columns = std::min(kVocabularyBlock, vocabulary);
  const int64_t block_tokens = tokens_per_block(num_tokens, block_columns);
  const at::Tensor buffer = at::empty({block_tokens * block_columns}, at::kFloat);
  const auto* labels = data<int64_t>(labels_T);
  TokenSums sums{
      std::vector<RunningLogSumExp>(static_cast<size_t>(num_tokens)),
      std::vector<float>(static_cast<size_t>(num_tokens), -std::numeric_limits<float>::infinity())};
  for (int64_t v = 0; v < vocabulary; v += kVocabularyBlock) {
    const int64_t columns = std::min(kVocabularyBlock, vocabulary - v);
    const at::Tensor w_block = w_VD.narrow(0, v, columns);
    const RightMatrix w(w_block, true, num_blocks(num_tokens, block_tokens));
    for (int64_t t = 0; t < num_tokens; t += block_tokens) {
      const int64_t rows = std::min(block_tokens, num_tokens - t);
      const at::Tensor logits = buffer.narrow(0, 0, rows * columns).view({rows, columns});
      w.multiply(logits, x_TD.narrow(0, t, rows));
      take_logits(sums, logits, labels, t, part.rows.first + v);
    }
  }
  const at::Tensor states = at::empty({num_tokens, kStateSize}, at::kFloat);
  for (int64_t t = 0; t < num_tokens; ++t)
    rows_of(states)[t] =
        state_of(sums.running[static_cast<size_t>(t)], sums.logit_of_label[static_cast<size_t>(t)]);
  if (part.combine) part.combine(states);
  for (int64_t t = 0; t < num_tokens; ++t) {
    const TokenState& state = rows_of(states)[t];
    mutable_data<float>(loss_T)[t] = loss_of(state);
    if (lse_T.defined()) mutable_data<float>(lse_T)[t] = state.largest + std::log(state.sum);
  }
}

void linear_cross_entropy_with_gradient(const LossGradientArgs& args) {
  const int64_t num_tokens = args.x_TD.size(0), vocabulary = args.w_VD.size(0);
  if (num_tokens == 0) {
    if (args.dw_VD.defined() && !args.accumulate_dw) args.dw_VD.zero_();
    return;
  }
  const int64_t block_tokens = tokens_per_block(num_tokens, vocabulary);
  const int64_t num_token_blocks = num_blocks(num_tokens, block_tokens);
  const RightMatrix w_forward(args.w_VD, true, num_token_blocks),
      w_backward(args.w_VD, false, num_token_blocks);
  const at::Tensor logits_buffer = at::empty({block_tokens, vocabulary}, at::kFloat);
  const bool in_place = args.x_TD.scalar_type() == at::kFloat;
  const at::Tensor dlogits_buffer =
      in_place ? logits_buffer : at::empty({block_tokens, vocabulary}, at::kBFloat16);
  for (int64_t t = 0; t < num_tokens; t += block_tokens) {
    const int64_t rows = std::min(block_tokens, num_tokens - t);
    const at::Tensor x = args.x_TD.narrow(0, t, rows), logits = logits_buffer.narrow(0, 0, rows);
    const at::Tensor dlogits = dlogits_buffer.narrow(0, 0, rows);
    w_forward.multiply(logits, x);
    with_compute_type(args.x_TD, [&](auto type) {
      const TokenBlock<decltype(type)> block(args, t, logits, dlogits);
      args.part.combine ? block.run(args.part.combine) : block.run();
    });
    w_backward.multiply(args.dx_TD.narrow(0, t, rows), dlogits);
    if (args.dw_VD.defined()) matmul_tn(args.dw_VD, dlogits, x, args.accumulate_dw || t > 0);
  }
}

}  // namespace athanor::kernels::cpu
