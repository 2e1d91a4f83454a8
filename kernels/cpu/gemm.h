// The single-threaded product that everything else is built on: C[M, N] = A[M, K] · B[K, N] (or +=), in fp32.
//
// Every element of C is one chain of fused multiply-adds over ascending k, starting from zero (or from C when
// accumulating): c = fma(a[k], b[k], c). So its bits depend on nothing but its own row of A and column of B,
// and a product may be cut along M, N, or (accumulating) K anywhere. bf16 operands are widened exactly.
//
// B is packed in panels of 16 columns: panel j holds columns 16j .. 16j+15, stored [depth][16], the last
// panel padded with zeros. The layout is the same for every instruction set.
#pragma once

#include <cstdint>

#include "kernels/cpu/bf16.h"

namespace athanor::kernels::cpu {

constexpr int64_t kPanelColumns = 16;

/// The product walks K in blocks of this depth: a caller that packs B piecewise should use the same.
constexpr int64_t kGemmDepthBlock = 256;

/// Elements that a packed operand takes: whole panels.
constexpr int64_t packed_size(int64_t num_columns, int64_t depth) {
  return (num_columns + kPanelColumns - 1) / kPanelColumns * kPanelColumns * depth;
}

/// Packs B given as rows of columns, b[n * row_stride + k] (a weight [N, K] for x·wᵀ, keys for q·kᵀ).
/// T: float or Bf16. `packed` has packed_size(num_columns, depth) elements.
template <typename T>
void pack_nk(T* packed, const T* b, int64_t row_stride, int64_t num_columns, int64_t depth);

/// Packs B given as rows of depth, b[k * row_stride + n] (a weight [N, K] for dy·w, values for p·v).
template <typename T>
void pack_kn(T* packed, const T* b, int64_t row_stride, int64_t num_columns, int64_t depth);

template <typename A, typename B>
struct GemmArgs {
  int64_t num_rows, num_columns, depth;  ///< M, N, K; any of them may be 0
  const A* a;
  int64_t a_stride;              ///< elements between rows of `a` as it lies in memory
  bool a_is_transposed = false;  ///< `a` lies as [K, M]: a[k * a_stride + m]
  const B* packed_b;
  int64_t panel_depth = 0;  ///< depth that `packed_b` was packed with, when only a part of it is used
                            ///< (packed_b then points at first_depth * 16); 0: equal to `depth`
  float* c;
  int64_t c_stride;
  bool accumulate = false;
};

/// Computes the product with the best kernel of this processor, on the calling thread; needs about 300 KiB of
/// stack. A and B: float or Bf16, in any combination. K = 0 gives zeros (or leaves C alone when
/// accumulating).
template <typename A, typename B>
void gemm(const GemmArgs<A, B>& args);

/// "avx512", "avx2" or "portable".
const char* gemm_kernel_name();

}  // namespace athanor::kernels::cpu
