// Every fused operation, declared once on at::Tensor. CPU tensors go to kernels/cpu (SIMD, run-time
// dispatch), CUDA tensors to the plugin; kernels/reference holds plain, slow twins that the tests compare
// with.
//
// Common rules
//  * Tensors are contiguous unless said otherwise; a wrong shape, dtype or device is an InternalError that
//  names it.
//  * "Compute dtype" is float32 or bfloat16. Products of bf16 values are summed in fp32.
//  * Batch-invariant: the bits of a row do not depend on the other rows, on how many there are, or on the
//  number of
//    threads. Products sum K in ascending order in one chain of fused multiply-adds per output element (on
//    machines with AMX: in one fixed order of the tile product), K is never split across threads. Weight
//    gradients sum tokens in ascending order.
//  * On CUDA devices the same call with the same inputs gives the same bits, sums over tokens have one fixed
//    order, and an operation whose arithmetic is our own (norm, rotary, routing, permuting, combining,
//    embedding, flat buffers) is batch-invariant too. Products and the bf16 attention are those of cuBLAS and
//    of LibTorch's flash attention: which kernel runs, and so the last bits of a row, depends on the shape.
//  * On CUDA devices operations are asynchronous on the current stream, except for permutation_by_expert,
//    which brings the offsets to the host.
//  * No operation here communicates. None is differentiable: model/functions.h wraps them for autograd.
//
// Shape suffixes: T tokens of a micro batch (all its documents, flattened), D hidden, N/K output/input
// features, V vocabulary, E experts, A experts per token, P permuted rows (= T*A when nothing is dropped), F
// expert width, H heads, G key/value heads, Q query/key head size, W value head size, R rotary size.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace athanor::kernels {

// ---- products
// ------------------------------------------------------------------------------------------------

/// A right-hand operand laid out for the micro-kernels, so that many products can share one packing.
/// Immutable; copies share storage. `num_columns` is N of the product, `depth` is K. On a CUDA device it is a
/// view of the matrix itself.
class PackedMatrix {
 public:
  int64_t num_columns() const { return num_columns_; }
  int64_t depth() const { return depth_; }
  const at::Tensor& storage() const { return storage_; }
  bool defined() const { return storage_.defined(); }

 private:
  friend PackedMatrix pack_nt(const at::Tensor&);
  friend PackedMatrix pack_nn(const at::Tensor&);
  friend struct PackedMatrixAccess;
  at::Tensor storage_;
  int64_t num_columns_ = 0, depth_ = 0;
};

/// Packs w [N, K] for x·wᵀ (a linear layer's forward product).
PackedMatrix pack_nt(const at::Tensor& w_NK);
/// Packs w [N, K] for dy·w (the gradient by a linear layer's input): depth N, columns K.
PackedMatrix pack_nn(const at::Tensor& w_NK);

/// out [M, N] = a [M, K] · b (+ bias [N]), or += when `accumulate`. `a` may have a row stride; `out` is fp32
/// or the compute dtype and may have a row stride. With `accumulate`, out must be fp32.
void matmul(const at::Tensor& out_MN, const at::Tensor& a_MK, const PackedMatrix& b, bool accumulate = false,
            const std::optional<at::Tensor>& bias_N = std::nullopt);

/// The same with packing inside: out = a·wᵀ.
void matmul_nt(const at::Tensor& out_MN, const at::Tensor& a_MK, const at::Tensor& w_NK,
               bool accumulate = false, const std::optional<at::Tensor>& bias_N = std::nullopt);
/// out [M, K] = a [M, N] · w [N, K].
void matmul_nn(const at::Tensor& out_MK, const at::Tensor& a_MN, const at::Tensor& w_NK,
               bool accumulate = false);
/// out [N, K] fp32 = aᵀ·b for a [T, N], b [T, K], or += : a weight gradient; tokens are summed in ascending
/// order.
void matmul_tn(const at::Tensor& out_NK, const at::Tensor& a_TN, const at::Tensor& b_TK,
               bool accumulate = false);
/// out [N] fp32 = column sums of a [T, N] in ascending token order, or +=: a bias gradient.
void sum_rows(const at::Tensor& out_N, const at::Tensor& a_TN, bool accumulate = false);

/// Grouped products over experts: rows [offsets[e], offsets[e+1]) of the permuted matrix belong to expert e;
/// an expert without rows is an ordinary case. offsets: E+1 ascending int64 values.
void grouped_matmul_nt(const at::Tensor& out_PN, const at::Tensor& a_PK, const at::Tensor& w_ENK,
                       const std::vector<int64_t>& offsets);
void grouped_matmul_nn(const at::Tensor& out_PK, const at::Tensor& a_PN, const at::Tensor& w_ENK,
                       const std::vector<int64_t>& offsets);
/// out [E, N, K] fp32; an expert without rows gets zeros (or is left alone with `accumulate`).
void grouped_matmul_tn(const at::Tensor& out_ENK, const at::Tensor& a_PN, const at::Tensor& b_PK,
                       const std::vector<int64_t>& offsets, bool accumulate = false);

// ---- normalisation, activation, rotary
// -----------------------------------------------------------------------

/// y = x / sqrt(mean(x²) + eps) * w, statistics in fp32. x [T, D] may have a row stride. Rounding as in
/// Hugging Face: the normalised value is cast to the compute dtype before the product with w. rstd [T] fp32
/// is kept for backward.
void rms_norm(const at::Tensor& y_TD, const at::Tensor& rstd_T, const at::Tensor& x_TD, const at::Tensor& w_D,
              double eps);
/// dx [T, D] (compute dtype); dw [D] fp32, += when `accumulate_dw`; dw undefined: not computed.
void rms_norm_backward(const at::Tensor& dx_TD, const at::Tensor& dw_D, const at::Tensor& dy_TD,
                       const at::Tensor& x_TD, const at::Tensor& w_D, const at::Tensor& rstd_T,
                       bool accumulate_dw);

/// h [T, F] = silu(gate) * up, where gate_up [T, 2F] holds gate in the first F columns and up in the last F.
void swiglu(const at::Tensor& h_TF, const at::Tensor& gate_up_T2F);
void swiglu_backward(const at::Tensor& dgate_up_T2F, const at::Tensor& dh_TF, const at::Tensor& gate_up_T2F);

/// Rotates, in place, the last R columns starting at `column` of every head of x [T, H, Dh] (strides allowed
/// between tokens and heads). cos, sin [T, R/2] fp32. `interleaved`: pairs are (2i, 2i+1), else (i, i + R/2).
/// When `interleaved`, the result is written de-interleaved (first halves, then second halves) as DeepSeek-V3
/// does. `inverse` undoes it: it maps gradients of the output to gradients of the input (same layouts,
/// reversed).
struct RotaryOptions {
  int64_t column = 0;
  bool interleaved = false;
  bool inverse = false;
};
void rotary(const at::Tensor& x_THD, const at::Tensor& cos_TR, const at::Tensor& sin_TR,
            const RotaryOptions& options);

// ---- attention
// -----------------------------------------------------------------------------------------------

/// Causal attention inside packed documents. Tokens [document_offsets[i], document_offsets[i+1]) form
/// document i and see only each other. `sliding_window` > 0: a query sees itself and the window-1 keys before
/// it. Keys are taken in blocks aligned to the start of their document and in ascending order, so that a
/// query's bits do not depend on how many queries or documents are computed with it (decoding gives the same
/// bits as training). On machines with AMX, bf16 attention rounds probabilities and gradients of scores to
/// bf16 before it multiplies them.
struct AttentionOptions {
  double softmax_scale = 1.0;
  int64_t sliding_window = 0;
};
/// q [T, H, Q], k [T, G, Q], v [T, G, W] -> o [T, H, W], lse [T, H] fp32. H is a multiple of G. Tensors may
/// be strided views as long as the last dimension is contiguous.
void attention(const at::Tensor& o_THW, const at::Tensor& lse_TH, const at::Tensor& q_THQ,
               const at::Tensor& k_TGQ, const at::Tensor& v_TGW, const std::vector<int64_t>& document_offsets,
               const AttentionOptions& options);
void attention_backward(const at::Tensor& dq_THQ, const at::Tensor& dk_TGQ, const at::Tensor& dv_TGW,
                        const at::Tensor& do_THW, const at::Tensor& o_THW, const at::Tensor& lse_TH,
                        const at::Tensor& q_THQ, const at::Tensor& k_TGQ, const at::Tensor& v_TGW,
                        const std::vector<int64_t>& document_offsets, const AttentionOptions& options);
/// Attention of new tokens against a cache. Sequence i of the batch has num_new[i] new queries (consecutive
/// rows of q) that end at position length[i]; its keys and values are rows [0, length[i]) of k_cache[i]
/// [capacity, G, Q] and v_cache[i] [capacity, G, W]. Gives the bits that `attention` gives for the same
/// document.
void attention_with_cache(const at::Tensor& o_THW, const at::Tensor& q_THQ,
                          const std::vector<at::Tensor>& k_cache, const std::vector<at::Tensor>& v_cache,
                          const std::vector<int64_t>& num_new, const std::vector<int64_t>& length,
                          const AttentionOptions& options);

// ---- mixture of experts
// --------------------------------------------------------------------------------------

enum class RouterScore { kSigmoid, kSoftmax };

/// DeepSeek-V3 (sigmoid scores, bias only moves the choice, groups ranked by the sum of their best two biased
/// scores, the rest masked with minus infinity) and Qwen3-MoE (softmax, one group, no bias). Ties go to the
/// lower expert id.
struct RouterOptions {
  RouterScore score = RouterScore::kSigmoid;
  int64_t num_experts_per_tok = 2;
  int64_t n_group = 1, topk_group = 1;
  bool norm_topk_prob = true;
  double routed_scaling_factor = 1.0;
};
/// logits [T, E] fp32, bias [E] fp32 or undefined -> expert_ids [T, A] int32 (ascending per token), weights
/// [T, A] fp32, scores [T, E] fp32 (sigmoid or softmax, kept for backward).
void route(const at::Tensor& expert_ids_TA, const at::Tensor& weights_TA, const at::Tensor& scores_TE,
           const at::Tensor& logits_TE, const at::Tensor& bias_E, const RouterOptions& options);
/// dlogits [T, E] fp32 from dweights [T, A] fp32, plus the gradient that arrived at the scores (or
/// undefined).
void route_backward(const at::Tensor& dlogits_TE, const at::Tensor& dweights_TA, const at::Tensor& dscores_TE,
                    const at::Tensor& expert_ids_TA, const at::Tensor& scores_TE,
                    const RouterOptions& options);

/// Rows sorted by expert, tokens ascending within an expert. `row_of_slot` [T*A] int32 gives the permuted row
/// of token t's a-th choice (-1: dropped); `token_of_row` [P] int32 the way back; offsets as for the grouped
/// products.
struct Permutation {
  at::Tensor row_of_slot, token_of_row;
  std::vector<int64_t> offsets;
};
Permutation permutation_by_expert(const at::Tensor& expert_ids_TA, int64_t num_experts);
/// x_PD = x_TD[token_of_row].
void permute(const at::Tensor& x_PD, const at::Tensor& x_TD, const Permutation& permutation);
/// dx_TD (compute dtype) = sum over a token's rows, slots ascending, in fp32.
void permute_backward(const at::Tensor& dx_TD, const at::Tensor& dx_PD, const Permutation& permutation);
/// y_TD = sum over slots a ascending of weights[t, a] * y_PD[row(t, a)], in fp32, cast once.
void combine(const at::Tensor& y_TD, const at::Tensor& y_PD, const at::Tensor& weights_TA,
             const Permutation& permutation);
void combine_backward(const at::Tensor& dy_PD, const at::Tensor& dweights_TA, const at::Tensor& dy_TD,
                      const at::Tensor& y_PD, const at::Tensor& weights_TA, const Permutation& permutation);

// ---- embedding and loss
// --------------------------------------------------------------------------------------

/// Which rows of a matrix with a row per vocabulary entry are given: those from `first` on, of `size` in all.
/// The default: all of them.
struct VocabularyRows {
  int64_t first = 0;
  int64_t size = 0;
};

/// y [T, D] = w[ids]; ids [T] int64, each in the vocabulary: checked, DataError names the first bad one. On a
/// CUDA device, where looking would make the host wait, a bad id makes its row NaN: whoever moves ids there
/// checks them first. An id whose row is not given yields zeros.
void embedding(const at::Tensor& y_TD, const at::Tensor& ids_T, const at::Tensor& w_VD,
               const VocabularyRows& rows = {});
/// dw [V, D] fp32 += rows of dy, tokens ascending. An id whose row is not given adds to nothing.
void embedding_backward(const at::Tensor& dw_VD, const at::Tensor& dy_TD, const at::Tensor& ids_T,
                        const VocabularyRows& rows = {});

constexpr int64_t kIgnoredLabel = -100;

/// The part of the vocabulary that a loss is computed with; the default is all of it.
///
/// `combine` gets what these rows say of some tokens' softmax, fp32 [n, 3]: the largest logit, the sum of
/// exp(logit - largest), the logit of the label (minus infinity where its row is not given), and must replace
/// it by what all rows together say. It is called for blocks of tokens in order; the blocks are the same for
/// every part of one size.
struct VocabularyPart {
  VocabularyRows rows;
  std::function<void(const at::Tensor& states_N3)> combine;
};

/// Loss of the projection to the vocabulary without ever holding all logits. labels [T] int64 or
/// kIgnoredLabel. loss [T] fp32 = -log softmax(x·wᵀ)[label] (0 where ignored); lse [T] fp32 (may be
/// undefined: not wanted). A label outside [0, V) is a DataError; on a CUDA device, a loss of NaN.
void linear_cross_entropy(const at::Tensor& loss_T, const at::Tensor& lse_T, const at::Tensor& x_TD,
                          const at::Tensor& w_VD, const at::Tensor& labels_T,
                          const VocabularyPart& part = {});
/// The same and its gradients in one pass: each token's loss is weighted by token_weight [T] fp32 (what the
/// final scalar's derivative by that token's loss is). dx [T, D] compute dtype; dw [V, D] fp32, += when
/// `accumulate_dw`, undefined: not computed. Rows with a zero weight or an ignored label get a zero gradient.
/// With a part of the vocabulary, dx is what its rows contribute.
void linear_cross_entropy_with_gradient(const at::Tensor& loss_T, const at::Tensor& dx_TD,
                                        const at::Tensor& dw_VD, const at::Tensor& x_TD,
                                        const at::Tensor& w_VD, const at::Tensor& labels_T,
                                        const at::Tensor& token_weight_T, bool accumulate_dw,
                                        const VocabularyPart& part = {});

// ---- flat buffers
// --------------------------------------------------------------------------------------------

/// A parameter starts, and a shard ends, at a multiple of this many elements in a flat buffer, so that the
/// chunks over which norms are summed are the same on every layout.
constexpr int64_t kFlatAlignment = 256;

/// out (fp32 or bf16) = parts[0] + parts[1] + ... in a binary tree over the index, in fp32:
/// ((0+1)+(2+3))+...; with a count that is not a power of two, the sum of the largest power of two that fits,
/// plus the tree of the rest.
void ordered_sum(const at::Tensor& out, const std::vector<at::Tensor>& parts);

/// Sums of squares of consecutive chunks of kFlatAlignment elements of a flat fp32 slice, in fp64: out
/// [ceil(n/256)].
void chunk_square_sums(const at::Tensor& out, const at::Tensor& flat);

struct AdamWOptions {
  double learning_rate, beta1, beta2, eps, weight_decay;
  int64_t step;           ///< 1 for the first update
  double gradient_scale;  ///< multiplies the gradient first (clipping)
};
/// One fused pass over n elements, as torch.optim.AdamW: p -= lr*wd*p; m, v; p -= lr/bc1 * m /
/// (sqrt(v)/sqrt(bc2) + eps). master, gradient fp32; moments fp32 or bf16; `compute` receives the cast of the
/// new master (bf16) or is undefined. `decay` says which elements decay: ascending, disjoint [begin, end)
/// ranges of element indices of this slice.
struct ElementRange {
  int64_t begin, end;
};
void adamw(const at::Tensor& master, const at::Tensor& exp_avg, const at::Tensor& exp_avg_sq,
           const at::Tensor& gradient, const at::Tensor& compute, const std::vector<ElementRange>& decay,
           const AdamWOptions& options);

// ---- what the machine gives
// ----------------------------------------------------------------------------------

/// Which product kernel serves `dtype` here: "avx2", "avx512", "avx512-bf16", "amx-brgemm", ... for logs,
/// `doctor` and benchmarks.
std::string product_kernel_name(at::ScalarType dtype, at::Device device = at::kCPU);
/// The same for the products inside attention on the CPU.
std::string attention_kernel_name(at::ScalarType dtype);
/// Measured peak of `matmul` on large square matrices with the current threads, in FLOP/s (about 0.3 s).
double measure_peak_flops(at::ScalarType dtype, at::Device device = at::kCPU);

}  // namespace athanor::kernels
