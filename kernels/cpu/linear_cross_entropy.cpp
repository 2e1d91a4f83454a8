// The loss without all the logits. Without a gradient, a block of the vocabulary at a time passes all tokens.
// With one, a block of tokens at a time has all its logits: they are computed once and become their own
// gradient.
#include "kernels/cpu/linear_cross_entropy.h"

#include <algorithm>
#include <cmath>
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

float log_sum_of(const RunningLogSumExp& running) {
  return std::log(log_sum_exp_table().sum(running));
}

// The difference first: with large logits, the logarithm would drown in `largest`.
float loss_of(const RunningLogSumExp& running, float logit_of_label) {
  return (running.largest - logit_of_label) + log_sum_of(running);
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
struct TokenStates {
  std::vector<RunningLogSumExp> running;
  std::vector<float> logit_of_label;
};

void take_logits(TokenStates& states, const at::Tensor& logits, const int64_t* labels, int64_t first_token,
                 int64_t first_label) {
  const int64_t columns = logits.size(1);
  const float* values = data<float>(logits);
  for_each_row(logits.size(0), columns, [&](int64_t row) {
    const auto token = static_cast<size_t>(first_token + row);
    log_sum_exp_table().update(states.running[token], values + row * columns, columns);
    const int64_t label = labels[token] - first_label;
    if (label >= 0 && label < columns) states.logit_of_label[token] = values[row * columns + label];
  });
}

// ---- with a gradient
// ---------------------------------------------------------------------------------------------

/// Losses of a block of tokens; their logits become gradients (in place when dlogits shares memory with
/// them).
template <typename T>
void losses_and_dlogits(float* loss, const at::Tensor& dlogits, const at::Tensor& logits,
                        const int64_t* labels, const float* token_weight) {
  const int64_t vocabulary = logits.size(1);
  for_each_row(logits.size(0), vocabulary, [&](int64_t row) {
    const float* values = data<float>(logits) + row * vocabulary;
    T* gradient = mutable_data<T>(dlogits) + row * vocabulary;
    RunningLogSumExp running;
    update_whole_row(running, values, vocabulary);
    loss[row] = loss_of(running, values[labels[row]]);
    if (token_weight[row] == 0.0f)
      std::fill_n(gradient, vocabulary, T{});
    else
      loss_gradient_table<T>().softmax_gradient(
          gradient, values, vocabulary,
          {labels[row], running.largest, log_sum_exp_table().sum(running), token_weight[row]});
  });
}

}  // namespace

void linear_cross_entropy(const at::Tensor& loss_T, const at::Tensor& lse_T, const at::Tensor& x_TD,
                          const at::Tensor& w_VD, const at::Tensor& labels_T) {
  const int64_t num_tokens = x_TD.size(0), vocabulary = w_VD.size(0);
  if (num_tokens == 0) return;
  const int64_t block_columns = std::min(kVocabularyBlock, vocabulary);
  const int64_t block_tokens = tokens_per_block(num_tokens, block_columns);
  const at::Tensor buffer = at::empty({block_tokens * block_columns}, at::kFloat);
  const auto* labels = data<int64_t>(labels_T);
  TokenStates states{std::vector<RunningLogSumExp>(static_cast<size_t>(num_tokens)),
                     std::vector<float>(static_cast<size_t>(num_tokens))};
  for (int64_t v = 0; v < vocabulary; v += kVocabularyBlock) {
    const int64_t columns = std::min(kVocabularyBlock, vocabulary - v);
    const at::Tensor w_block = w_VD.narrow(0, v, columns);
    const RightMatrix w(w_block, true, num_blocks(num_tokens, block_tokens));
    for (int64_t t = 0; t < num_tokens; t += block_tokens) {
      const int64_t rows = std::min(block_tokens, num_tokens - t);
      const at::Tensor logits = buffer.narrow(0, 0, rows * columns).view({rows, columns});
      w.multiply(logits, x_TD.narrow(0, t, rows));
      take_logits(states, logits, labels, t, v);
    }
  }
  for (int64_t t = 0; t < num_tokens; ++t) {
    const RunningLogSumExp& running = states.running[static_cast<size_t>(t)];
    mutable_data<float>(loss_T)[t] = loss_of(running, states.logit_of_label[static_cast<size_t>(t)]);
    if (lse_T.defined()) mutable_data<float>(lse_T)[t] = running.largest + log_sum_of(running);
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
      losses_and_dlogits<decltype(type)>(mutable_data<float>(args.loss_T) + t, dlogits, logits,
                                         data<int64_t>(args.labels_T) + t,
                                         data<float>(args.token_weight_T) + t);
    });
    w_backward.multiply(args.dx_TD.narrow(0, t, rows), dlogits);
    if (args.dw_VD.defined()) matmul_tn(args.dw_VD, dlogits, x, args.accumulate_dw || t > 0);
  }
}

}  // namespace athanor::kernels::cpu
